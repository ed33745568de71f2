"""Weights that even out how densely the slices cover Fourier space."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from cryocloud.engine.fourier import multiply_in_real_space
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
    density_fft = transform_from_grid(density * inside, size)
    weights = (density_fft > 0).to(torch.float32)
    for _ in range(iterations):
        coverage = multiply_in_real_space((weights * density_fft).to(torch.complex64), blob).real
        weights = weights / coverage.clamp(min=1e-6)
    return grid_from_transform(weights, density.shape[2] - 1) * inside


def _blob_in_real_space(size_px: int, radius_px: float, device: torch.device) -> Float32[Tensor, "d d d"]:
    """Transform of the Kaiser-Bessel blob of order 0, 1 at the origin, voxel 0 of a cube of ``size_px``."""
    line = torch.fft.fftfreq(size_px, device=device) ** 2
    squared = _BLOB_TAPER**2 - (2 * math.pi * radius_px) ** 2 * (line[:, None, None] + line[:, None] + line)
    s = squared.abs().sqrt().clamp(min=1e-2)
    # The spherical Bessel function of order 1 over its argument, on both sides of the taper's radius.
    inner = (s * torch.cosh(s) - torch.sinh(s)) / s**3
    outer = (torch.sin(s) - s * torch.cos(s)) / s**3
    peak = (_BLOB_TAPER * math.cosh(_BLOB_TAPER) - math.sinh(_BLOB_TAPER)) / _BLOB_TAPER**3
    return torch.where(squared > 0, inner.nan_to_num(), outer) / peak
