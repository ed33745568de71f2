"""Likelihood of every reference and shift for every image as real matrix products.

For noise of variance sigma^2(ring) a coefficient, the log-likelihood of reference R (CTF C, shift s) is, up to a
constant of the image, ``2 Re <C X e^{-2 pi i k.s/D} / sigma^2, R> - <C^2 / sigma^2, |R|^2>``. The first term is
one real matrix product over pixels; only it depends on the shift. bfloat16 products find the candidates, float32
decides among them.

That is -sum |X - C R e^{+2 pi i k.s/D}|^2 / sigma^2 over half of the Fourier plane (Scheres 2012, J. Mol. Biol.
415:406), multiplied out. As a difference it takes 8 operations a pixel for every pose; multiplied out 4, in matrix
products, which run near the processor's peak, over slices that all images share. The dropped constant |X|^2 /
sigma^2 must not be added back in float32: it is so much larger than the differences between poses that it would
round them off.
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
    """b images ready for scoring, over the n pixels of a list.

    Attributes
    ----------
    weighted
        C X / sigma^2, complex64 [b, n]: X unitary coefficients, C the CTF (times the image's scale).
    power
        C^2 / sigma^2, float32 [b, n]: how much each pixel can say.
    """

    weighted: Tensor
    power: Tensor

    def within(self, n_pixels: int) -> ScoringImages:
        """The same images cut to the first ``n_pixels`` of the pixel list."""
        return ScoringImages(self.weighted[:, :n_pixels], self.power[:, :n_pixels])


@dataclass(frozen=True)
class ReferenceTable:
    """o references ready for scoring many batches.

    Attributes
    ----------
    slices
        complex64 [o, n], without CTF.
    power
        |slices|^2, float32 [o, n].
    coarse
        The same slices as real pairs [o, 2n] in the precision of the first pass (:func:`coarse_dtype`).
    """

    slices: Tensor
    power: Tensor
    coarse: Tensor


@dataclass(frozen=True)
class PoseSamples:
    """The part of each image's posterior that matters, as a flat list of m samples sorted by image, best first.

    Attributes
    ----------
    image, reference, shift
        int64 [m]: rows of the images, references and shifts that were compared.
    weight
        Posterior probability, float32 [m]; sums to 1 over an image's samples.
    log_evidence
        float64 [b]: log sum exp of the candidates' log posteriors, priors and temperature included, without the
        constant -sum |X|^2 / sigma^2 of the image: an empty model has likelihood 1.
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
    """What is known of a pose before the image is seen.

    Attributes
    ----------
    log_reference, log_shift
        Log priors of references [o] and shifts [s]; a constant added to them cancels in the weights.
    inverse_temperature
        beta, scales the log-likelihood (not the priors). Below 1 it widens the posterior, as if the image were
        noisier: annealing from there keeps a poor first map from deciding the poses.
    """

    log_reference: Tensor
    log_shift: Tensor
    inverse_temperature: float = 1.0


def prepare_scoring(
    coefficients: Complex64[Tensor, "b n"],
    transfer: Float32[Tensor, "b n"],
    sigma2: Float[Tensor, " r"],
    pixels: PixelList,
) -> ScoringImages:
    """Whiten and CTF-weight images.

    Parameters
    ----------
    coefficients
        Unitary Fourier coefficients, ``image_coefficients(images, pixels)``.
    transfer
        CTF at the pixels, times the image's scale.
    sigma2
        Noise variance of a complex coefficient of each ring 0 .. r_max, > 0.
    """
    inverse = (1 / sigma2).to(torch.float32)[pixels.ring]
    return ScoringImages(coefficients * (transfer * inverse), transfer**2 * inverse)


def reference_table(slices: Complex64[Tensor, "o n"]) -> ReferenceTable:
    """Prepare references (slices or class averages, without CTF) once for many batches of images."""
    pairs = torch.view_as_real(slices).reshape(len(slices), -1)
    power = slices.real**2 + slices.imag**2
    return ReferenceTable(slices.contiguous(), power, pairs.to(coarse_dtype(slices.device)))


def coarse_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32.

    Its 8 bits of mantissa are enough to find candidates: with whitened images the rounding of a score is small
    beside the noise in it. Where it is emulated bfloat16 is slower than float32.
    """
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

    p(o, s | X) ~ exp(beta l(o, s) + log prior(o) + log prior(s)), with l the log-likelihood of the module's head.

    Parameters
    ----------
    references
        All references, with ``images``, ``references`` and ``ramps`` over the same n pixels.
    ramps
        Phase ramps that undo each candidate shift, ``phase_ramps(shift, pixels)`` with the shift that centers the
        image.
    max_samples
        At most this many samples an image.
    mass
        Share of the posterior to keep, in (0, 1].

    Returns
    -------
    PoseSamples
        Weights from float32 scores. Before ``mass`` is applied, samples are left out whose coarse score lies more
        than 12 below the best one (e^-12 = 6e-6 of its probability) or is not among the ``max_samples`` best.

    Notes
    -----
    4 n operations for each image, reference and shift. Scores are never stored as a whole: blocks of 4 MB (CPU, in
    the cache) or 1 GB (CUDA) are reduced to candidates at once.
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
    """Candidates (image, reference, shift), int64 [m] each, from products in blocks that stay in the cache.

    About 256 rows (image, shift) by so many references that their scores take 4 MB; each block is read once by
    ``collect_candidates``.
    """
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
    """As :func:`_search_cpu`, by top-k, with all references at once and so many images that scores take 1 GB."""
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
    """Re <weighted ramp, reference> in float32 of m samples (image, reference, shift)."""
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
    """Sort candidate samples, best first, and keep the smallest set an image that holds ``mass`` of its posterior.

    Probabilities are formed in float64 after subtracting each image's best log posterior, so that nothing
    overflows. The kept samples are normalized to sum to 1; ``log_evidence`` counts the left-out ones too.

    Parameters
    ----------
    image, reference, shift, log_posterior
        m candidates in any order; every image 0 .. n_images - 1 must have at least one.
    """
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
