"""The padded Fourier grid that slicing and insertion share.

A centered half grid [2R+1, 2R+1, R+1] (z, y, x >= 0), zero frequency at [R, R, 0], ``padding`` grid points to one
frequency of the image. Padding the volume with zeros samples its transform more finely, so that interpolating
between grid points errs less.
"""

from __future__ import annotations

import torch
from torch import Tensor


def grid_reach(r_max_px: int, padding: int) -> int:
    """Largest index needed to interpolate frequencies of rings up to ``r_max_px``: grid [2R+1, 2R+1, R+1]."""
    return padding * r_max_px + padding // 2 + 2


def gridding_correction(box_size_px: int, padding: int, device: torch.device | str) -> Tensor:
    """Product of sinc^2 along the axes [D, D, D]: what trilinear interpolation on the padded grid does to an object.

    sinc^2(x / (padding D)), sinc(x) = sin(pi x) / (pi x), is the transform of the triangle that weighs grid
    points. It is a product over x, y and z, as the weights are; a radial sinc^2 would leave an error off the axes.
    """
    line = torch.arange(box_size_px, dtype=torch.float32, device=device) - box_size_px // 2
    fall = torch.sinc(line / (box_size_px * padding)) ** 2
    return fall[:, None, None] * fall[None, :, None] * fall[None, None, :]


def trilinear_corners(position: Tensor, reach: int) -> tuple[Tensor, Tensor, Tensor]:
    """Flat indices [..., 8], weights [..., 8] and conjugation mask [...] of grid positions xyz [..., 3].

    Positions in grid steps from the zero frequency, each component below ``reach`` in size. One with x < 0 stands
    at its Friedel partner, where the mask says that values must be conjugated. Bit a of a corner's number is its
    side along axis a (x, y, z).
    """
    mirrored = position[..., 0] < 0
    position = torch.where(mirrored[..., None], -position, position)
    base = torch.floor(position)
    fraction = position - base
    bits = torch.tensor(
        [[c & 1, (c >> 1) & 1, c >> 2] for c in range(8)], device=position.device, dtype=torch.long
    )
    corner = base.long()[..., None, :] + bits
    weight = torch.where(bits.bool(), fraction[..., None, :], 1 - fraction[..., None, :]).prod(-1)
    edge = 2 * reach + 1
    flat = ((corner[..., 2] + reach) * edge + corner[..., 1] + reach) * (reach + 1) + corner[..., 0]
    return flat, weight, mirrored


def transform_from_grid(grid: Tensor, size_px: int) -> Tensor:
    """Half-transform layout [N, N, N/2+1] of a centered half grid [2R+1, 2R+1, R+1]; what does not fit is left out.

    The layout is that of ``rfftn``; frequencies beyond the grid, and the Nyquist frequency, are zero.
    """
    reach = grid.shape[2] - 1
    kept = min(reach, size_px // 2 - 1)
    rows = torch.arange(-kept, kept + 1, device=grid.device) % size_px
    transform = torch.zeros(size_px, size_px, size_px // 2 + 1, dtype=grid.dtype, device=grid.device)
    center = slice(reach - kept, reach + kept + 1)
    transform[rows[:, None], rows[None, :], : kept + 1] = grid[center, center, : kept + 1]
    return transform


def grid_from_transform(transform: Tensor, reach: int) -> Tensor:
    """Centered half grid [2R+1, 2R+1, R+1] of an rfft array; zero beyond its Nyquist frequency."""
    size_px = transform.shape[0]
    kept = min(reach, size_px // 2 - 1)
    rows = torch.arange(-kept, kept + 1, device=transform.device) % size_px
    shape = (2 * reach + 1, 2 * reach + 1, reach + 1)
    grid = torch.zeros(shape, dtype=transform.dtype, device=transform.device)
    center = slice(reach - kept, reach + kept + 1)
    grid[center, center, : kept + 1] = transform[rows][:, rows][:, :, : kept + 1]
    return grid
