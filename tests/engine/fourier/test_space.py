"""Accurate sampling of volume transforms against an object whose transform is known exactly."""

from __future__ import annotations

from typing import Any

import torch

from cryocloud.engine.fourier import half_space, make_pixel_list
from cryocloud.engine.fourier.space import sample_space, space_grid
from cryocloud.engine.geometry import random_rotations

BOX_PX = 32


def _relative_error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def test_points_between_the_grid_are_exact_to_a_thousandth(blobs: Any, device: str) -> None:
    grid = space_grid(blobs.volume(BOX_PX).to(device), 14)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(500, 3, generator=generator)
    points = direction / direction.norm(dim=1, keepdim=True) * 14 * torch.rand(500, 1, generator=generator)
    rotation = random_rotations(3, generator)
    found = sample_space(grid, rotation.to(device), points.to(device)).cpu()
    exact = blobs.transform(points.double() @ rotation.mT / BOX_PX) / BOX_PX
    # Kaiser-Bessel kernel four grid points wide on a doubled grid: 1e-3 (Jackson et al. 1991), object in 0.3 boxes.
    assert _relative_error(found, exact) < 2e-3


def test_slices_are_the_unitary_transforms_of_projections(blobs: Any) -> None:
    pixels = make_pixel_list(BOX_PX, 14)
    plane = torch.stack([pixels.kx, pixels.ky, torch.zeros_like(pixels.kx)], 1)
    rotation = random_rotations(4, torch.Generator().manual_seed(1))
    found = sample_space(space_grid(blobs.volume(BOX_PX), 14), rotation, plane)
    assert _relative_error(found, blobs.slices(rotation, pixels.kx, pixels.ky, BOX_PX)) < 2e-3


def test_grid_points_come_back(blobs: Any) -> None:
    volume = blobs.volume(BOX_PX)
    space = half_space(BOX_PX, 12)
    found = sample_space(space_grid(volume, 12), torch.eye(3)[None], space.points)[0]
    exact = torch.fft.rfftn(torch.fft.ifftshift(volume)).flatten()[space.flat_index] / BOX_PX
    assert _relative_error(found, exact) < 2e-3
