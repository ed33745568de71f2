"""Sampling of the global search: the finest grid that pays, and the band in which it finds the right basin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryocloud.engine.alignment.direct import (
    PoseSamples,
    Prior,
    ReferenceTable,
    ScoringImages,
    direct_posterior,
    reference_table,
)
from cryocloud.engine.fourier import PixelList, phase_ramps
from cryocloud.engine.geometry import random_rotations, rotation_grid, shift_grid
from cryocloud.engine.native.modes import distinct_modes
from cryocloud.engine.reconstruction import VolumeTransform, slice_volume

_MAX_ORDER = 5
_GRID_PHASE_RAD = 1.5  # phase error at the particle's rim half a grid step away, at the highest ring searched
_SHIFT_PHASE_RAD = 1.2
_CANDIDATES = 500


@dataclass(frozen=True)
class GlobalSearch:
    """References on a rotation grid, candidate shifts and the band they are compared in."""

    rotation: Tensor
    table: ReferenceTable
    shifts_px: Tensor
    ramps: Tensor
    pixels: PixelList
    step_deg: float


def step_deg(order: int) -> float:
    """Spacing of HEALPix directions, 58.6 degrees at order 0."""
    return 58.6323 / float(2**order)


def usable_ring(order: int, box_size_px: int, radius_px: float) -> int:
    """Highest ring at which half a grid step still moves the particle's rim by little phase."""
    half_step = math.radians(step_deg(order)) / 2
    return int(_GRID_PHASE_RAD * box_size_px / (2 * math.pi * radius_px * half_step))


def search_order(box_size_px: int, radius_px: float, r_max_px: int, group_size: int, limit: int) -> int:
    """The coarsest HEALPix order that serves all rings, or the finest one within ``limit`` orientations."""
    order = 2
    while order < _MAX_ORDER and usable_ring(order, box_size_px, radius_px) < r_max_px:
        finer = 72 * 8 ** (order + 1) / group_size
        if finer > limit:
            break
        order += 1
    return order


def prepare_search(
    reference: VolumeTransform,
    pixels: PixelList,
    order: int,
    *,
    operators: Tensor,
    radius_px: float,
    shift_range_px: float,
    generator: torch.Generator,
) -> GlobalSearch:
    """Slice the reference on a randomly turned grid, up to the ring that the grid can serve."""
    box = pixels.box_size_px
    r_search = max(4, min(usable_ring(order, box, radius_px), pixels.r_max_px))
    band = pixels.within(r_search)
    shift_step = max(_SHIFT_PHASE_RAD * box / (2 * math.pi * r_search), 0.25)
    shifts = shift_grid(max(shift_range_px, 2.5 * shift_step), shift_step)
    rotation = rotation_grid(order, operators, random_rotations(1, generator)[0])
    device = pixels.kx.device
    table = reference_table(slice_volume(reference, rotation.to(device), band))
    ramps = phase_ramps(shifts.to(device), band)
    return GlobalSearch(rotation.to(device), table, shifts.to(device), ramps, band, step_deg(order))


def search_modes(
    search: GlobalSearch,
    images: ScoringImages,
    shift_px: Tensor,
    *,
    sigma_shift_px: float,
    max_modes: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The most probable, mutually distinct poses of each image.

    ``images`` are centered by ``shift_px`` already. Returns (image, rotation, shift) of m starting poses.
    """
    log_shift = -0.5 * (search.shifts_px**2).sum(1) / max(sigma_shift_px, 0.5) ** 2
    flat = torch.zeros(len(search.rotation), device=log_shift.device)
    samples: PoseSamples = direct_posterior(
        images.within(len(search.pixels)),
        search.table,
        search.ramps,
        Prior(flat, log_shift),
        max_samples=_CANDIDATES,
        mass=0.9999,
    )
    rotation = search.rotation[samples.reference]
    keep = distinct_modes(
        samples.image.cpu().numpy(),
        rotation.cpu().numpy(),
        math.cos(math.radians(1.5 * search.step_deg)),
        max_modes,
    )
    kept = torch.from_numpy(keep).to(rotation.device)
    image = samples.image[kept]
    return image, rotation[kept], shift_px[image] + search.shifts_px[samples.shift[kept]]
