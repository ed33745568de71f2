"""Balls and cylinders that a person adds to a region, or takes from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

AXES = "xyz"


@dataclass(frozen=True)
class Solid:
    """A ball, or with an ``axis`` ("x", "y", "z") a cylinder of a length along it, around its center.

    The center counts from that of the first voxel. ``adds`` False takes the solid away.
    """

    center_xyz_angstrom: tuple[float, float, float]
    radius_angstrom: float
    adds: bool = True
    axis: str | None = None
    length_angstrom: float = math.inf


def with_solids(
    core: Bool[Tensor, "d d d"], pixel_size_angstrom: float, solids: Iterable[Solid]
) -> Bool[Tensor, "d d d"]:
    """The region [z, y, x] after each solid in turn was added to it or taken from it.

    A voxel belongs to a solid if its center lies inside or on its surface. Parts outside of the box are cut off.
    """
    drawn = core.clone()
    for solid in solids:
        window, inside = _inside(solid, core.shape[0], pixel_size_angstrom, core.device)
        if solid.adds:
            drawn[window] |= inside
        else:
            drawn[window] &= ~inside
    return drawn


def _inside(
    solid: Solid, box_size_px: int, pixel_size_angstrom: float, device: torch.device
) -> tuple[tuple[slice, ...], Tensor]:
    """The part of the box around a solid, and which of its voxels lie inside; brushes are small, maps are not."""
    slices, offsets = [], []
    for name, center in zip(AXES, solid.center_xyz_angstrom, strict=True):
        reach = solid.length_angstrom / 2 if name == solid.axis else solid.radius_angstrom
        first = max(0, math.ceil((center - reach) / pixel_size_angstrom - 1e-6))
        last = min(box_size_px - 1, math.floor((center + reach) / pixel_size_angstrom + 1e-6))
        slices.append(slice(first, max(first, last + 1)))
        voxels = torch.arange(slices[-1].start, slices[-1].stop, dtype=torch.float64, device=device)
        offsets.append(voxels * pixel_size_angstrom - center)
    grid = dict(zip("zyx", torch.meshgrid(*reversed(offsets), indexing="ij"), strict=True))
    across = [grid[name] ** 2 for name in AXES if name != solid.axis]
    inside = sum(across, torch.zeros_like(grid["x"])) <= solid.radius_angstrom**2 * (1 + 1e-9)
    return tuple(reversed(slices)), inside
