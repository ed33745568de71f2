"""Weights that even out how densely the slices cover Fourier space."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from cryocloud.engine.fourier import irfftn, rfftn
from cryocloud.engine.reconstruction.grid import grid_from_transform, transform_from_grid

_BLOB_RADIUS_PX = 1.9  # in unpadded Fourier pixels
_BLOB_TAPER = 15.0


def compensated_weights(
    density: Float32[Tensor, "z y x"],
    inside: Bool[Tensor, "z y x"],
    box_size_px: int,
    padding: int,
    iterations: int,
) -> Float32[Tensor, "z y x"]:
    """Weights w with (w * density) convolved with a narrow blob = 1 at every grid point inside.

    The plain inverse 1 / density gives a voxel that few slices touched as much say as its well-measured
    neighbors; these weights let neighbors within the blob share, which raises the FSC of unregularized
    half maps by about a hundredth where it is near 0.5.

    Parameters
    ----------
    density
        Sum of the inserted weights on the padded half grid [2R+1, 2R+1, R+1].
    inside
        Where the reconstruction has data.
    iterations
        About 10 converge.

    References
    ----------
    Pipe & Menon 1999, Magn. Reson. Med. 41:179; blob: Matej & Lewitt 1996, IEEE Trans. Med. Imaging 15:68.
    """
    size = box_size_px * padding
    blob = _blob_in_real_space(size, _BLOB_RADIUS_PX * padding, density.device)
    weights = inside.to(torch.float32)
    for _ in range(iterations):
        smooth = rfftn(irfftn(transform_from_grid(weights * density, size), size) * blob)
        coverage = grid_from_transform(smooth, density.shape[2] - 1).real
        weights = torch.where(inside, weights / coverage.clamp(min=1e-6), 0)
    return weights


def _blob_in_real_space(size_px: int, radius_px: float, device: torch.device) -> Float32[Tensor, "d d d"]:
    """Transform of the Kaiser-Bessel blob of order 0, 1 at the center, over a cube of ``size_px``."""
    line = (torch.arange(size_px, dtype=torch.float64, device=device) - size_px // 2) / size_px
    distance = (line[:, None, None] ** 2 + line[:, None] ** 2 + line**2).sqrt()
    squared = _BLOB_TAPER**2 - (2 * math.pi * radius_px * distance) ** 2
    s = squared.abs().sqrt().clamp(min=1e-2)
    # The spherical Bessel function of order 1 over its argument, on both sides of the taper's radius.
    inner = (s * torch.cosh(s) - torch.sinh(s)) / s**3
    outer = (torch.sin(s) - s * torch.cos(s)) / s**3
    peak = (_BLOB_TAPER * math.cosh(_BLOB_TAPER) - math.sinh(_BLOB_TAPER)) / _BLOB_TAPER**3
    return (torch.where(squared > 0, inner, outer) / peak).to(torch.float32)
