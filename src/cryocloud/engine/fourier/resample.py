"""Maps brought to another pixel size and box."""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from cryocloud.engine.fourier.crop import fourier_crop_volume

_TOLERANCE = 2e-4
_LARGEST_EDGE_PX = 1024


def resample_volume(
    volume: Float32[Tensor, "d d d"],
    pixel_size_angstrom: float,
    new_pixel_size_angstrom: float,
    new_box_size_px: int,
) -> Float32[Tensor, "e e e"]:
    """A cube sampled at another pixel size in another box, its center D//2 staying the center.

    The volume is zero-padded until some even box holds it at both pixel sizes to 0.02 %, then cut in Fourier space
    and in real space, so that nothing is interpolated. Where no box up to 1024 px (or twice the volume's) fits so
    well, the best one is taken and the new pixel size is off by its misfit. Pixel sizes that agree to 0.02 % count
    as equal. Gray values keep their scale.
    """
    box = volume.shape[-1]
    if abs(new_pixel_size_angstrom / pixel_size_angstrom - 1) < _TOLERANCE:
        return pad_or_cut(volume, new_box_size_px)
    ratio = pixel_size_angstrom / new_pixel_size_angstrom
    candidates = range(box + box % 2, max(2 * box, _LARGEST_EDGE_PX) + 1, 2)
    padded_px = min(
        candidates, key=lambda n: (not _fits(n, ratio), n if _fits(n, ratio) else _misfit(n, ratio))
    )
    scaled = fourier_crop_volume(pad_or_cut(volume, padded_px), 2 * round(padded_px * ratio / 2))
    return pad_or_cut(scaled, new_box_size_px)


def pad_or_cut(volume: Float32[Tensor, "d d d"], new_box_size_px: int) -> Float32[Tensor, "e e e"]:
    """The same voxels in a larger (zero-filled) or smaller box about the same center."""
    box = volume.shape[-1]
    shift = new_box_size_px // 2 - box // 2
    result = torch.zeros((new_box_size_px,) * 3, dtype=volume.dtype, device=volume.device)
    to = slice(max(0, shift), min(new_box_size_px, shift + box))
    source = slice(max(0, -shift), max(0, -shift) + to.stop - to.start)
    result[to, to, to] = volume[source, source, source]
    return result


def _misfit(n: int, ratio: float) -> float:
    """Relative error of the new pixel size with a box of n px: how far n * ratio is from an even number."""
    return abs(2 * round(n * ratio / 2) / (n * ratio) - 1)


def _fits(n: int, ratio: float) -> bool:
    return _misfit(n, ratio) < _TOLERANCE
