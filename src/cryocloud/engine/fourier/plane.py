"""Transforms of images between their grid points, for rotated images and polar samples.

Images are zero-padded, divided by the envelope of a Kaiser-Bessel kernel four grid points wide, and
transformed; the kernel's weighted sums over 4 x 4 points then give the transform anywhere to about 1e-3 of
its rms. Convolving the transform with a kernel multiplies the image by the kernel's own transform: a known, smooth
envelope, which is divided out beforehand. What the kernel lets through from the periodic copies of the padded
image is the error; padding moves the copies to where a good kernel is small.

References
----------
Jackson et al. 1991, IEEE Trans. Med. Imaging 10:473; kernel shape after Beatty et al. 2005, 24:799.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float, Float32
from torch import Tensor

from cryocloud.engine.fourier.transforms import irfft2, rfft2
from cryocloud.engine.native.plane import gather_taps

PADDING = 2
KERNEL_WIDTH = 4
_BETA = math.pi * math.sqrt((KERNEL_WIDTH / PADDING) ** 2 * (PADDING - 0.5) ** 2 - 0.8)
_POINTS_AT_ONCE_CUDA = 1 << 22


@dataclass(frozen=True)
class PlaneTaps:
    """Where p points of the frequency plane lie on a padded half grid [2R+1, R+2] (y, then x from -1).

    They depend on the points alone and serve all images, for sampling and for its transpose, spreading.

    Attributes
    ----------
    reach
        R: the zero frequency stands at [R, 1].
    index
        The 4 x 4 grid points around each point in the flattened grid, int32 [p, 16].
    weight
        Their kernel weights, float32 [p, 16].
    mirrored
        bool [p]: the point has kx < 0 and stands at its Friedel partner, where values are conjugated.
    """

    reach: int
    index: Tensor
    weight: Tensor
    mirrored: Tensor

    def __len__(self) -> int:
        return len(self.index)


def plane_reach(r_max_px: int) -> int:
    """Largest padded index that points of rings up to ``r_max_px`` touch."""
    return PADDING * (r_max_px + 1) + KERNEL_WIDTH // 2


def plane_frequencies(reach: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Frequencies kx, ky, in units of 1/D, of the g points of a flattened padded half grid."""
    ky = torch.arange(-reach, reach + 1, dtype=torch.float32, device=device) / PADDING
    kx = torch.arange(-1, reach + 1, dtype=torch.float32, device=device) / PADDING
    return kx.repeat(len(ky)), ky.repeat_interleave(len(kx))


def plane_taps(kx: Float[Tensor, " p"], ky: Float[Tensor, " p"], r_max_px: int) -> PlaneTaps:
    """Grid points and kernel weights of frequencies (kx, ky), in units of 1/D, with |k| < r_max + 1."""
    mirrored = kx < 0
    sign = torch.where(mirrored, -PADDING, PADDING)
    x, y = kx * sign, ky * sign
    reach = plane_reach(r_max_px)
    offsets = torch.arange(1 - KERNEL_WIDTH // 2, 1 + KERNEL_WIDTH // 2, device=kx.device)
    column, row = x.floor()[:, None] + offsets, y.floor()[:, None] + offsets
    weight = kernel_weight(y[:, None] - row)[:, :, None] * kernel_weight(x[:, None] - column)[:, None, :]
    index = (row[:, :, None] + reach) * (reach + 2) + column[:, None, :] + 1
    return PlaneTaps(
        reach, index.flatten(1).to(torch.int32), weight.flatten(1).to(torch.float32).contiguous(), mirrored
    )


def plane_grid(images: Float32[Tensor, "k d d"], r_max_px: int) -> Complex64[Tensor, "k g"]:
    """Padded transforms of images, ready for :func:`sample_plane`; scale of unitary coefficients.

    Values beyond the padded Nyquist frequency are zero. Column 0 (x = -1) repeats x = +1, mirrored and conjugated.
    """
    box = images.shape[-1]
    size, reach = PADDING * box, plane_reach(r_max_px)
    start = size // 2 - box // 2
    padded = images.new_zeros(len(images), size, size)
    padded[:, start : start + box, start : start + box] = images / envelope(box, images.device)
    transform = rfft2(padded) / box
    kept = min(reach, size // 2 - 1)
    rows = torch.arange(-kept, kept + 1, device=images.device)
    grid = torch.zeros(len(images), 2 * reach + 1, reach + 2, dtype=torch.complex64, device=images.device)
    inside = slice(reach - kept, reach + kept + 1)
    grid[:, inside, 1 : kept + 2] = transform[:, rows % size, : kept + 1]
    grid[:, inside, 0] = transform[:, -rows % size, 1].conj()
    return grid.flatten(1)


def sample_plane(grid: Complex64[Tensor, "k g"], taps: PlaneTaps) -> Complex64[Tensor, "k p"]:
    """Transforms of k images at p points: sum of 16 weighted grid values each, conjugated where mirrored."""
    out = torch.empty(len(grid), len(taps), dtype=torch.complex64, device=grid.device)
    if not grid.is_cuda:
        gather_taps(*(t.numpy() for t in (grid, taps.index, taps.weight, taps.mirrored, out)))
        return out
    step = max(1, _POINTS_AT_ONCE_CUDA // taps.index.numel())
    for start in range(0, len(grid), step):
        value = (grid[start : start + step, taps.index.long()] * taps.weight).sum(-1)
        out[start : start + step] = torch.where(taps.mirrored, value.conj(), value)
    return out


def plane_images(grid: Complex64[Tensor, "k g"], box_size_px: int, reach: int) -> Float32[Tensor, "k d d"]:
    """Images [D, D] of padded transforms made by spreading values with the taps' weights, which blurs them.

    The transpose of sampling up to a factor: the blur of the transform is an envelope of the image, and is divided
    out. Transforms must be complete: see :func:`friedel_completed`.
    """
    size = PADDING * box_size_px
    kept = min(reach, size // 2 - 1)
    rows = torch.arange(-kept, kept + 1, device=grid.device) % size
    half = grid.view(len(grid), 2 * reach + 1, reach + 2)
    transform = torch.zeros(len(grid), size, size // 2 + 1, dtype=torch.complex64, device=grid.device)
    transform[:, rows, : kept + 1] = half[:, reach - kept : reach + kept + 1, 1 : kept + 2]
    start = size // 2 - box_size_px // 2
    inside = slice(start, start + box_size_px)
    return irfft2(transform, size)[:, inside, inside] * box_size_px / envelope(box_size_px, grid.device)


def friedel_completed(values: Tensor, reach: int) -> Tensor:
    """Sum of a half grid [k, g] that points were added to and its mirror image, as every real image has.

    Each point was added on one side only, but near x = 0 its kernel reaches across. The columns x = 0 and 1 get
    what the mirror images of the points add there, and x = -1 is made to repeat x = 1. Real weights are completed
    alike.
    """
    half = values.view(len(values), 2 * reach + 1, reach + 2).clone()
    for column, partner in ((0, 2), (1, 1)):
        mirror = values.view(len(values), 2 * reach + 1, reach + 2)[:, :, column].flip(1)
        half[:, :, partner] += mirror.conj()
    half[:, :, 0] = half[:, :, 2].flip(1).conj()
    return half.flatten(1)


def envelope(box_size_px: int, device: torch.device | str = "cpu") -> Float32[Tensor, "d d"]:
    """What convolving a padded transform with the kernel multiplies an image [D, D] by.

    In each direction sinh(s) / s, s = sqrt(beta^2 - (pi W x / (2 D))^2), divided by its value at x = 0, where x is
    the distance from the center in pixels and W = 4 the width.
    """
    line = torch.arange(box_size_px, dtype=torch.float64, device=device) - box_size_px // 2
    root = torch.sqrt(_BETA**2 - (math.pi * KERNEL_WIDTH * line / (PADDING * box_size_px)) ** 2)
    fall = (torch.sinh(root) / root * (_BETA / math.sinh(_BETA))).to(torch.float32)
    return fall[:, None] * fall


def kernel_weight(distance: Tensor) -> Tensor:
    """Kaiser-Bessel weight at a distance of grid points; integrates to 1.

    I0(beta sqrt(1 - (2 d / W)^2)) beta / (W sinh beta) for d <= W / 2 = 2; larger distances have no meaning.
    beta = 9.0 is the choice of Beatty et al. for this width and padding.
    """
    inside = (1 - (2 * distance.to(torch.float64) / KERNEL_WIDTH) ** 2).clamp(min=0)
    weight: Tensor = torch.special.i0(_BETA * torch.sqrt(inside)) * (
        _BETA / (KERNEL_WIDTH * math.sinh(_BETA))
    )
    return weight
