"""Likelihood of every reference and shift for every image as real matrix products.

For noise of variance sigma^2(ring) a coefficient, the log-likelihood of reference R (CTF C, shift s) is, up to a
constant of the image, ``2 Re <C X e^{-2 pi i k.s/D} / sigma^2, R> - <C^2 / sigma^2, |R|^2>``. The first term is one
real matrix product over pixels; only it depends on the shift. bfloat16 products find the candidates, float32
decides among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float, Float32, Float64, Int64
from torch import Tensor

from cryocloud.engine.fourier import PixelList
from cryocloud.engine.native.candidates import collect_candidates, finish_candidates, rescore

_BLOCK_BYTES_CPU = 4 << 20
_BLOCK_BYTES_CUDA = 1 << 30
_LOG_CUT = 12.0  # exp(-12) = 6e-6 of the best sample


@dataclass(frozen=True)
class ScoringImages:
    """b images ready for scoring: ``weighted`` = C X / sigma^2 (complex64 [b, n]), ``power`` = C^2 / sigma^2."""

    weighted: Tensor
    power: Tensor

    def within(self, n_pixels: int) -> ScoringImages:
        """The same images cut to the first ``n_pixels`` of the pixel list."""
        return ScoringImages(self.weighted[:, :n_pixels], self.power[:, :n_pixels])


@dataclass(frozen=True)
class ReferenceTable:
    """o references ready for scoring many batches: ``slices`` complex64 [o, n], ``power`` = |slices|^2, ``coarse``
    the same slices as real pairs [o, 2n] in the precision of the first pass.
    """

    slices: Tensor
    power: Tensor
    coarse: Tensor


@dataclass(frozen=True)
class PoseSamples:
    """The part of each image's posterior that matters, as a flat list of m samples sorted by image, best first.

    ``weight`` sums to 1 over an image's samples; ``log_evidence`` [b] is log sum exp of the log posteriors.
    """

    image: Tensor
    reference: Tensor
    shift: Tensor
    weight: Tensor
    log_evidence: Tensor

    def best(self) -> Tensor:
        """Index of the first, most probable, sample of each image."""
        starts = torch.ones_like(self.image, dtype=torch.bool)
        starts[1:] = self.image[1:] != self.image[:-1]
        return starts.nonzero()[:, 0]


@dataclass(frozen=True)
class Prior:
    """Log priors of references [o] and shifts [s]; inverse temperature that scales the likelihood."""

    log_reference: Tensor
    log_shift: Tensor
    inverse_temperature: float = 1.0


def prepare_scoring(
    coefficients: Complex64[Tensor, "b n"],
    transfer: Float32[Tensor, "b n"],
    sigma2: Float[Tensor, " r"],
    pixels: PixelList,
) -> ScoringImages:
    """Whiten and CTF-weight images; ``sigma2`` is the noise variance of each ring 0 .. r_max."""
    inverse = (1 / sigma2).to(torch.float32)[pixels.ring]
    return ScoringImages(coefficients * (transfer * inverse), transfer**2 * inverse)


def reference_table(slices: Complex64[Tensor, "o n"]) -> ReferenceTable:
    """Prepare references (slices or class averages, without CTF) once for many batches of images."""
    pairs = torch.view_as_real(slices).reshape(len(slices), -1)
    power = slices.real**2 + slices.imag**2
    return ReferenceTable(slices.contiguous(), power, pairs.to(coarse_dtype(slices.device)))


def coarse_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def direct_posterior(
    images: ScoringImages,
    references: ReferenceTable,
    ramps: Complex64[Tensor, "s n"],
    prior: Prior,
    *,
    max_samples: int = 500,
    mass: float = 0.999,
) -> PoseSamples:
    """Posterior over references and shifts of each image, the smallest set of samples that holds ``mass`` of it.

    Parameters
    ----------
    references
        All references, with ``images``, ``references`` and ``ramps`` over the same n pixels.
    ramps
        Phase ramps that undo each candidate shift, ``phase_ramps(shift, pixels)`` with the shift that centers the
        image.
    max_samples
        At most this many samples an image.
    """
    norm = images.power @ references.power.T
    norm = norm - prior.log_reference.to(torch.float32) / prior.inverse_temperature
    search = _search_cuda if ramps.is_cuda else _search_cpu
    image, reference, shift = search(images, references, ramps, norm, prior, max_samples)
    cross = _cross_of_samples(images.weighted, references.slices, ramps, (image, reference, shift))
    log_posterior = prior.inverse_temperature * (2 * cross - norm[image, reference])
    log_posterior = log_posterior + prior.log_shift.to(torch.float32)[shift]
    return normalized_samples(image, reference, shift, log_posterior, len(images.weighted), mass)


def _search_cpu(
    images: ScoringImages,
    references: ReferenceTable,
    ramps: Tensor,
    norm: Tensor,
    prior: Prior,
    max_samples: int,
) -> tuple[Tensor, Tensor, Tensor]:
    table = references.coarse
    n_images, n_shifts, n_references = len(images.weighted), len(ramps), len(table)
    rows = max(1, min(n_images, 256 // n_shifts))
    columns = max(256, _BLOCK_BYTES_CPU // (4 * rows * n_shifts))
    keep = min(max_samples, n_references * n_shifts)
    cut = _LOG_CUT
    found = []
    log_shift = prior.log_shift.to(torch.float32).numpy()
    for start in range(0, n_images, rows):
        block = images.weighted[start : start + rows]
        b = len(block)
        left = torch.view_as_real(block[:, None] * ramps).reshape(b * n_shifts, -1).to(table.dtype)
        score = torch.empty(b, 4 * keep + 64)
        index = torch.empty(b, 4 * keep + 64, dtype=torch.int64)
        count = torch.zeros(b, dtype=torch.int64)
        best, threshold = torch.full((2, b), -torch.inf)
        for first in range(0, n_references, columns):
            part = slice(first, first + columns)
            cross = (left @ table[part].T).float().view(b, n_shifts, -1)
            collect_candidates(
                cross.numpy(),
                norm[start : start + b, part].numpy(),
                log_shift,
                (prior.inverse_temperature, cut),
                first,
                (n_references, keep),
                *(t.numpy() for t in (score, index, count, best, threshold)),
            )
        finish_candidates(*(t.numpy() for t in (score, index, count, best)), cut, keep)
        valid = torch.arange(score.shape[1]) < count[:, None]
        found.append((valid.nonzero()[:, 0] + start, index[valid]))
    image = torch.cat([f[0] for f in found])
    flat = torch.cat([f[1] for f in found])
    return image, flat % n_references, flat // n_references


def _search_cuda(
    images: ScoringImages,
    references: ReferenceTable,
    ramps: Tensor,
    norm: Tensor,
    prior: Prior,
    max_samples: int,
) -> tuple[Tensor, Tensor, Tensor]:
    table = references.coarse
    n_shifts, n_references = len(ramps), len(table)
    rows = max(1, _BLOCK_BYTES_CUDA // (4 * n_shifts * n_references))
    keep = min(max_samples, n_references * n_shifts)
    log_shift = prior.log_shift.to(torch.float32)
    found = []
    for start in range(0, len(images.weighted), rows):
        block = images.weighted[start : start + rows]
        left = torch.view_as_real(block[:, None] * ramps).reshape(len(block) * n_shifts, -1).to(table.dtype)
        cross = (left @ table.T).float().view(len(block), n_shifts, -1)
        total = prior.inverse_temperature * (2 * cross - norm[start : start + len(block), None])
        score, index = (total + log_shift[:, None]).flatten(1).topk(keep, dim=1)
        valid = score >= score[:, :1] - _LOG_CUT
        found.append((valid.nonzero()[:, 0] + start, index[valid]))
    image = torch.cat([f[0] for f in found])
    flat = torch.cat([f[1] for f in found])
    return image, flat % n_references, flat // n_references


def _cross_of_samples(
    weighted: Tensor, references: Tensor, ramps: Tensor, samples: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    out = torch.empty(len(samples[0]), dtype=torch.float32, device=references.device)
    if not references.is_cuda:
        arrays = (weighted.contiguous(), references.contiguous(), ramps.contiguous(), *samples, out)
        rescore(*(a.numpy() for a in arrays))
        return out
    step = max(1, _BLOCK_BYTES_CUDA // (32 * references.shape[1]))
    for start in range(0, len(out), step):
        image, reference, shift = (s[start : start + step] for s in samples)
        product = weighted[image] * ramps[shift] * references[reference].conj()
        out[start : start + step] = product.real.sum(1)
    return out


def normalized_samples(
    image: Int64[Tensor, " m"],
    reference: Int64[Tensor, " m"],
    shift: Int64[Tensor, " m"],
    log_posterior: Float32[Tensor, " m"],
    n_images: int,
    mass: float,
) -> PoseSamples:
    """Sort candidate samples, best first, and keep the smallest set an image that holds ``mass`` of its posterior."""
    order = torch.argsort(log_posterior, descending=True, stable=True)
    order = order[torch.argsort(image[order], stable=True)]
    image, reference, shift = image[order], reference[order], shift[order]
    value = log_posterior[order].to(torch.float64)
    first = torch.searchsorted(image, torch.arange(n_images, device=image.device))
    probability = torch.exp(value - value[first][image])
    total = _sum_per_image(probability, image, n_images)
    probability = probability / total[image]
    running = torch.cumsum(probability, 0)
    before = running - probability - (running - probability)[first][image]
    kept = before < mass
    weight = probability * kept
    weight = weight / _sum_per_image(weight, image, n_images)[image]
    return PoseSamples(
        image[kept],
        reference[kept],
        shift[kept],
        weight[kept].to(torch.float32),
        value[first] + torch.log(total),
    )


def _sum_per_image(values: Float64[Tensor, " m"], image: Int64[Tensor, " m"], n_images: int) -> Tensor:
    totals = torch.zeros(n_images, dtype=torch.float64, device=values.device)
    return totals.index_add_(0, image, values)
