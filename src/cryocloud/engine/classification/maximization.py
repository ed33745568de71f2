"""Class averages, noise and priors from the posterior's sums.

The average of a class is ``A = S_num / (S_den + <S_den> / SSNR)`` at each point of a Fourier plane, with
``S_num = sum p C X / sigma2`` and ``S_den = sum p C^2 / sigma2`` over images and samples of probability p, shifts
undone and turned back. That is the most probable average under Gaussian noise and a Gaussian prior whose variance is
SSNR times the mean noise variance ``1 / <S_den>`` of the ring. The sums lie on planes padded by two, where images are
spread with a Kaiser-Bessel kernel; its envelope is divided out of the averages.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cryocloud.engine.classification.expectation import ClassSamples
from cryocloud.engine.classification.images import ImageBatch, WorkingImages
from cryocloud.engine.classification.records import ClassSums
from cryocloud.engine.fourier import PixelList, phase_ramps, rfft2, shell_index
from cryocloud.engine.fourier.plane import (
    PlaneTaps,
    friedel_completed,
    plane_frequencies,
    plane_images,
    plane_reach,
)
from cryocloud.engine.native.class_samples import add_class_samples

# Least weight of a point, as a part of its ring's mean; bounds of the ring correlation and of the SSNR.
_WEIGHT_FLOOR = 1e-3
_FRC_MAX = 0.999
_SSNR_MIN = 1e-3
_PAIRS_AT_ONCE_CUDA = 256


def empty_sums(n_classes: int, pixels: PixelList) -> ClassSums:
    """Sums of nothing for two halves of k classes, on half planes that hold all rings of ``pixels``."""
    reach = plane_reach(pixels.r_max_px)
    shape = (2, n_classes, (2 * reach + 1) * (reach + 2))
    device = pixels.kx.device
    return ClassSums(
        torch.zeros(shape, dtype=torch.complex64, device=device),
        torch.zeros(shape, dtype=torch.float32, device=device),
        torch.zeros(2, n_classes, dtype=torch.float64, device=device),
        torch.zeros(pixels.r_max_px + 1, dtype=torch.float64, device=device),
        0.0,
    )


def faded(sums: ClassSums, memory: float) -> ClassSums:
    """The sums scaled by ``memory``: old statistics count less.

    From 0 (start afresh) to 1. Numerator, weight and noise fade alike, so that their quotients stay until new images
    are added.
    """
    return ClassSums(
        sums.numerator * memory,
        sums.weight * memory,
        sums.occupancy * memory,
        sums.noise_power * memory,
        sums.noise_weight * memory,
    )


def add_samples_(
    sums: ClassSums,
    batch: ImageBatch,
    samples: ClassSamples,
    taps: PlaneTaps,
    sigma2: Tensor,
    *,
    half: Tensor,
    pixels: PixelList,
) -> None:
    """Add a batch of whole images, each to the classes and at the poses of its samples, with their
    weights.

    ``taps`` place ``pixels``, the rings that are added, at all angles of the samples; ``half`` int64 [b] is 0
    or 1 for each image.

    All samples of one half, class and angle are summed on the pixel list before they are spread over the plane, which
    takes 16 taps a pixel: the number of spreads is that of the angles in use and not that of the samples.

    Parameters
    ----------
    sums
        Written to in place, all but the noise.
    batch
        Its whole images and their CTF.
    samples
        Sorted in any way; ``reference`` = class * angles + angle.
    taps
        From :func:`turned_taps`, for the angles of the samples.
    sigma2
        Noise variance of each ring, by which images are weighted.
    """
    n_psi, n_classes, n = len(taps) // len(pixels), sums.numerator.shape[1], len(pixels)
    group = half[samples.image] * n_classes + samples.reference // n_psi
    sums.occupancy.view(-1).index_add_(0, group, samples.weight.to(torch.float64))
    angle = samples.reference % n_psi
    order = torch.argsort(group * n_psi + angle, stable=True)
    inverse = (1 / sigma2).to(torch.float32)[pixels.ring]
    transfer = batch.transfer[:, :n]
    images = (batch.whole[:, :n] * (transfer * inverse), transfer**2 * inverse)
    ordered = tuple(t[order] for t in (samples.image, angle, samples.shift_px, samples.weight))
    planes = (sums.numerator.flatten(0, 1), sums.weight.flatten(0, 1))
    if inverse.is_cuda:
        _add_cuda(images, ordered, group[order], taps, planes, pixels)
        return
    starts = torch.searchsorted(group[order], torch.arange(2 * n_classes + 1))
    add_class_samples(
        (images[0].numpy(), images[1].numpy()),
        (pixels.kx.to(torch.int32).numpy(), pixels.ky.to(torch.int32).numpy(), pixels.box_size_px),
        tuple(t.numpy() for t in ordered),
        starts.numpy(),
        (taps.index.numpy(), taps.weight.numpy(), taps.mirrored.numpy()),
        planes[0].numpy(),
        planes[1].numpy(),
    )


def _add_cuda(
    images: tuple[Tensor, Tensor],
    samples: tuple[Tensor, ...],
    group: Tensor,
    taps: PlaneTaps,
    planes: tuple[Tensor, Tensor],
    pixels: PixelList,
) -> None:
    """The same as the compiled kernel, with torch alone: lines of (plane, angle) pairs first, then their taps."""
    weighted, power = images
    image, angle, shift_px, probability = samples
    n = len(pixels)
    n_psi, size = len(taps) // n, planes[0].shape[1]
    pair, member = torch.unique_consecutive(group * n_psi + angle, return_inverse=True)
    numerator, weight = torch.view_as_real(planes[0]).view(-1, 2), planes[1].view(-1)
    for start in range(0, len(pair), _PAIRS_AT_ONCE_CUDA):
        part = pair[start : start + _PAIRS_AT_ONCE_CUDA]
        limits = torch.tensor([start, start + len(part)], device=member.device)
        rows = slice(*torch.searchsorted(member, limits).tolist())
        share, line_of = probability[rows, None], member[rows] - start
        line = weighted.new_zeros(len(part), n)
        line.index_add_(0, line_of, share * weighted[image[rows]] * phase_ramps(shift_px[rows], pixels))
        line_weight = power.new_zeros(len(part), n).index_add_(0, line_of, share * power[image[rows]])
        at = ((part % n_psi)[:, None] * n + torch.arange(n, device=part.device)).flatten()
        index = (taps.index[at].long() + (part // n_psi * size).repeat_interleave(n)[:, None]).flatten()
        value = (
            torch.where(taps.mirrored[at], line.flatten().conj(), line.flatten())[:, None] * taps.weight[at]
        )
        numerator.index_add_(0, index, torch.view_as_real(value.resolve_conj()).view(-1, 2))
        weight.index_add_(0, index, (line_weight.flatten()[:, None] * taps.weight[at]).flatten())


@dataclass(frozen=True)
class Averages:
    """Masked averages [k, d, d] after the Wiener filter, and the FRC [k, r] of the two halves' averages.

    ``images`` are float32, ``frc`` float64. The halves are solved without a filter, inside the same mask.
    """

    images: Tensor
    frc: Tensor


def solve_averages(sums: ClassSums, work: WorkingImages, *, ssnr: Tensor | None = None) -> Averages:
    """Class averages S_num / (S_den + <S_den> / SSNR), the mean taken over rings.

    The spectral signal-to-noise ratio is 2 FRC / (1 - FRC), that of both halves together, unless ``ssnr`` [k,
    r] is given.

    For two averages with the same signal and independent noise ``FRC = SSNR_half / (1 + SSNR_half)``, and both
    together have twice the ratio of a half. Negative correlations count as a ratio of 0.001: such rings are all but
    empty.

    Parameters
    ----------
    sums
        Of both halves; not changed.
    work
        Box and mask of the averages.
    ssnr
        Float64 [k, r] to filter with.
    """
    pixels = work.pixels
    reach = plane_reach(pixels.r_max_px)
    n_rings = pixels.r_max_px + 1
    n_classes = sums.numerator.shape[1]
    ring = torch.hypot(*plane_frequencies(reach, pixels.kx.device)).round().long()
    numerator = friedel_completed(sums.numerator.flatten(0, 1), reach)
    weight = friedel_completed(sums.weight.flatten(0, 1), reach)
    halves = _quotient(numerator, weight, None, ring, work)
    frc = ring_correlation(halves[:n_classes], halves[n_classes:], n_rings)
    ssnr = 2 * frc / (1 - frc) if ssnr is None else ssnr
    numerator = numerator[:n_classes] + numerator[n_classes:]
    weight = weight[:n_classes] + weight[n_classes:]
    return Averages(_quotient(numerator, weight, 1 / ssnr.clamp(min=_SSNR_MIN), ring, work), frc)


def _quotient(
    numerator: Tensor, weight: Tensor, inverse_ssnr: Tensor | None, ring: Tensor, work: WorkingImages
) -> Tensor:
    """Masked images [k, d, d] of sums [k, g]; no filter where ``inverse_ssnr`` is none."""
    n_rings = work.pixels.r_max_px + 1
    index = ring.clamp(max=n_rings - 1)
    mean = _plane_average(weight, ring, n_rings)
    floor = (_WEIGHT_FLOOR * mean)[:, index].to(torch.float32).clamp(min=1e-30)
    denominator = torch.maximum(weight, floor)
    if inverse_ssnr is not None:
        denominator = denominator + (mean * inverse_ssnr)[:, index].to(torch.float32)
    quotient = torch.where(ring < n_rings, numerator / denominator, 0)
    return plane_images(quotient, work.pixels.box_size_px, plane_reach(work.pixels.r_max_px)) * work.mask


def ring_correlation(a: Tensor, b: Tensor, n_rings: int) -> Tensor:
    """Fourier ring correlation of two sets of images: float64 [k, n_rings], 1 in ring 0.

    ``sum Re(X conj(Y)) / sqrt(sum |X|^2 sum |Y|^2)`` over each ring, at most 0.999, so that ratios made of it stay
    finite.

    References
    ----------
    Saxton & Baumeister 1982, J. Microsc. 127:127.
    """
    box = a.shape[-1]
    ring = shell_index(box, 2, a.device).flatten()
    inside = ring < n_rings
    x, y = (rfft2(t).flatten(1)[:, inside].to(torch.complex128) for t in (a, b))
    total = x.real.new_zeros(3, len(a), n_rings)
    for row, value in enumerate(((x * y.conj()).real, x.abs() ** 2, y.abs() ** 2)):
        total[row].index_add_(1, ring[inside], value)
    frc = total[0] / (total[1] * total[2]).sqrt().clamp(min=1e-300)
    frc[:, 0] = 1.0
    return frc.clamp(max=_FRC_MAX)


def _plane_average(values: Tensor, ring: Tensor, n_rings: int) -> Tensor:
    """Mean [k, n_rings] of values [k, g] over the rings of the padded plane, float64."""
    inside = ring < n_rings
    index = ring[inside]
    total = torch.zeros(len(values), n_rings, dtype=torch.float64, device=values.device)
    total.index_add_(1, index, values[:, inside].to(torch.float64))
    return total / torch.bincount(index, minlength=n_rings).clamp(min=1)


def shifted(sums: ClassSums, displacement_px: Tensor, work: WorkingImages) -> ClassSums:
    """The sums of images moved by ``displacement_px`` [k, 2], so that the averages move with them.

    A shift multiplies the numerator by ``exp(-2 pi i k.x / D)`` and leaves the weights: no image is read again.
    ``displacement_px`` is (x, y) in working pixels and a displacement of the content.
    """
    kx, ky = plane_frequencies(plane_reach(work.pixels.r_max_px), work.mask.device)
    x, y = displacement_px.to(torch.float32).T[:, :, None]
    angle = (-2 * math.pi / work.pixels.box_size_px) * (x * kx + y * ky)
    return replace(sums, numerator=sums.numerator * torch.polar(torch.ones_like(angle), angle))


def centroids_px(averages: Tensor) -> Tensor:
    """Center of mass (x, y) from the image center of what exceeds a fifth of each average's maximum: [k,
    2].

    Averages drift, because an average off center and its images' shifts fit as well as a centered one; it would end at
    the edge of the mask and of the shift range. The threshold keeps the background's slow waves out of the center.
    """
    peak = averages.amax((1, 2), keepdim=True)
    mass = (averages - 0.2 * peak).clamp(min=0).to(torch.float64)
    line = (
        torch.arange(averages.shape[-1], device=averages.device, dtype=torch.float64)
        - averages.shape[-1] // 2
    )
    total = mass.sum((1, 2)).clamp(min=1e-30)
    return torch.stack([(mass.sum(1) * line).sum(1), (mass.sum(2) * line).sum(1)], 1) / total[:, None]


def reseeded(
    sums: ClassSums, averages: Averages, work: WorkingImages, *, min_share: float
) -> tuple[ClassSums, Tensor]:
    """Give each class with less than ``min_share`` of the probability half of the then largest class.

    The two go on from averages of one half of the images each, which differ by their noise. Returns the sums
    and the averages' images.

    An average that few images chose is noisy and gets fewer images in the next update; classes would die out
    one by one. The largest class is the one most likely to hold more than one view.

    Parameters
    ----------
    sums, averages
        Of this update; both stay as they are.
    work
        Box and mask of the averages.
    min_share
        From 0 to 1, of all probability.
    """
    occupancy = sums.occupancy.sum(0)
    empty = (occupancy < min_share * occupancy.sum()).nonzero()[:, 0].tolist()
    images = averages.images
    if not empty:
        return sums, images
    numerator, weight, shares = sums.numerator.clone(), sums.weight.clone(), sums.occupancy.clone()
    images = images.clone()
    for target in empty:
        source = int(shares.sum(0).argmax())
        one_half = [
            replace(
                sums,
                numerator=numerator[[h, h], source, None],
                weight=weight[[h, h], source, None],
                occupancy=shares[[h, h], source, None],
            )
            for h in (0, 1)
        ]
        frc = averages.frc[source, None]
        for place, half in zip((source, target), one_half, strict=True):
            images[place] = solve_averages(half, work, ssnr=frc / (1 - frc)).images[0]
        for values in (numerator, weight, shares):
            values[:, source] *= 0.5
            values[:, target] = values[:, source]
    return replace(sums, numerator=numerator, weight=weight, occupancy=shares), images
