"""Images summed over their posterior, one sum a reference, ready for insertion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex64
from torch import Tensor

from cryocloud.engine.alignment.direct import PoseSamples, ScoringImages
from cryocloud.engine.native.sample_sums import sum_samples

_SAMPLES_AT_ONCE_CUDA = 1 << 15


@dataclass(frozen=True)
class SampleSums:
    """Sums over the samples of each of u references that any image chose.

    Attributes
    ----------
    reference
        int64 [u], ascending: which reference.
    data
        complex64 [u, n]: sum of probability * C X / sigma^2 with the shift undone.
    weight
        float32 [u, n]: sum of probability * C^2 / sigma^2.
    """

    reference: Tensor
    data: Tensor
    weight: Tensor


def sums_of_samples(
    images: ScoringImages, samples: PoseSamples, ramps: Complex64[Tensor, "s n"]
) -> SampleSums:
    """Add up all images that share a reference, so that each reference's slice is inserted once.

    With broad posteriors hundreds of samples fall on one reference; summing them costs a tenth of inserting them.
    Insertion is linear, so the map is the same.

    Parameters
    ----------
    images, ramps
        As they were given to ``direct_posterior``.
    samples
        Its result.
    """
    order = torch.argsort(samples.reference, stable=True)
    reference, count = torch.unique_consecutive(samples.reference[order], return_counts=True)
    image, shift, weight = samples.image[order], samples.shift[order], samples.weight[order]
    shape = (len(reference), ramps.shape[1])
    data = torch.zeros(shape, dtype=torch.complex64, device=ramps.device)
    total = torch.zeros(shape, dtype=torch.float32, device=ramps.device)
    if not ramps.is_cuda:
        start = torch.nn.functional.pad(torch.cumsum(count, 0), (1, 0))
        sources = (images.weighted.contiguous().numpy(), images.power.contiguous().numpy())
        listed = (image.numpy(), shift.numpy(), weight.numpy())
        sum_samples(sources, ramps.contiguous().numpy(), listed, start.numpy(), data.numpy(), total.numpy())
        return SampleSums(reference, data, total)
    slot = torch.repeat_interleave(torch.arange(len(reference), device=ramps.device), count)
    for first in range(0, len(slot), _SAMPLES_AT_ONCE_CUDA):
        part = slice(first, first + _SAMPLES_AT_ONCE_CUDA)
        scale = weight[part, None]
        values = images.weighted[image[part]] * ramps[shift[part]] * scale
        torch.view_as_real(data).index_add_(0, slot[part], torch.view_as_real(values))
        total.index_add_(0, slot[part], images.power[image[part]] * scale)
    return SampleSums(reference, data, total)
