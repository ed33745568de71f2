"""What an update says about each particle."""

from __future__ import annotations

import torch
from torch import Tensor

from cryocloud.engine.classification.expectation import ClassSamples, Search
from cryocloud.engine.classification.images import ImageBatch
from cryocloud.engine.classification.records import Assignments
from cryocloud.engine.fourier import phase_ramps


def nothing_assigned(n: int) -> Assignments:
    """Assignments of n particles that no batch has seen."""
    zero = torch.zeros(n, dtype=torch.float64)
    unknown = torch.full((n,), -1, dtype=torch.int64)
    return Assignments(unknown, zero, torch.zeros(n, 2, dtype=torch.float64), zero, zero, zero, zero)


def sample_models(samples: ClassSamples, chosen: Tensor, batch: ImageBatch, search: Search) -> Tensor:
    """CTF * average * shift [b, n] at one sample of each image; zero beyond the scored band.

    ``chosen`` int64 [b] are the indices of the samples. The models compare with the windowed images, at the scale of
    unitary coefficients.
    """
    band = search.band
    n = len(band)
    slices = search.slices[samples.reference[chosen]]
    models = torch.zeros_like(batch.windowed)
    models[:, :n] = slices * batch.transfer[:, :n] * phase_ramps(-samples.shift_px[chosen], band)
    return models


def drawn_samples(samples: ClassSamples, n_images: int, generator: torch.Generator) -> Tensor:
    """Index of one sample of each image, drawn with its weight: residuals from it are not biased to the best
    pose.

    The best of many poses fits a part of the noise, and its residual is too small. A draw from the posterior needs one
    model an image, where the expectation over the posterior would need one for each sample.

    Parameters
    ----------
    samples
        Sorted by image; every image has at least one.
    n_images
        Number of images in the batch.
    generator
        CPU generator of the draws.
    """
    uniform = torch.rand(n_images, generator=generator, dtype=torch.float64).to(samples.weight.device)
    first = samples.first()
    end = torch.cat([first[1:], first.new_tensor([len(samples.image)])])
    running = torch.cumsum(samples.weight.to(torch.float64), 0)
    before = torch.cat([running.new_zeros(1), running])[first]
    return torch.minimum(torch.searchsorted(running, before + uniform, right=True), end - 1)


def assign_(
    assignments: Assignments,
    rows: Tensor,
    batch: ImageBatch,
    samples: ClassSamples,
    search: Search,
    sigma2: Tensor,
) -> None:
    """Enter the most probable class of each image, its best pose in it, and how well the model matches.

    The class is the one with the largest sum of weights over all its poses, which need not be that of the best single
    sample. For a model m the match is ``sum Re(X conj(m)) / sigma2 / sqrt(sum |m|^2 / sigma2 / 2)`` over the scored
    half plane: for noise alone and a fixed pose a standard normal number.

    Parameters
    ----------
    assignments
        Of all particles; the entries ``rows`` are overwritten.
    rows
        Numbers of the batch's particles, int64 [b].
    batch, samples, search
        The images, their posterior, and the search that it came from.
    sigma2
        Noise variance of each ring.
    """
    n_psi, b = len(search.psi_deg), len(rows)
    n_classes = len(search.slices) // n_psi
    sample_class = samples.reference // n_psi
    share = torch.zeros(b, n_classes, device=samples.weight.device)
    share.view(-1).index_add_(0, samples.image * n_classes + sample_class, samples.weight)
    probability, class_index = share.max(1)
    of_class = (sample_class == class_index[samples.image]).nonzero()[:, 0]
    image = torch.arange(b, device=of_class.device)
    best = of_class[torch.searchsorted(samples.image[of_class], image)]
    inverse = (1 / sigma2)[: search.band.r_max_px + 1].to(torch.float32)[search.band.ring]
    models = sample_models(samples, best, batch, search)[:, : len(search.band)]
    cross = ((batch.windowed[:, : len(search.band)] * models.conj()).real * inverse).sum(1)
    norm = ((models.real**2 + models.imag**2) * inverse).sum(1)
    assignments.class_index[rows] = class_index.cpu()
    assignments.psi_deg[rows] = search.psi_deg[(samples.reference[best] % n_psi).cpu()]
    assignments.shift_px[rows] = samples.shift_px[best].double().cpu()
    assignments.probability[rows] = probability.double().cpu()
    assignments.effective_classes[rows] = (1 / (share**2).sum(1)).double().cpu()
    assignments.match[rows] = (cross / (norm / 2).sqrt().clamp(min=1e-12)).double().cpu()
    assignments.log_evidence[rows] = samples.log_evidence.cpu()
