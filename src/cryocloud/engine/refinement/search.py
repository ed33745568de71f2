"""Sampling of the global search: the finest grid that pays, and the band in which it finds the right basin.

A grid of rotations with a step d leaves orientations that are off by up to about d / 2. At the rim of a particle of
radius R that is a path of R d / 2, which turns the phase of Fourier ring r by ``2 pi r R (d / 2) / D``. Rings where
this exceeds a radian and a half no longer tell the nearest grid point from the others. So the search uses only the
rings that its grid can serve; the finer ones are left to local refinement, which needs no grid.
"""

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
# The same for one step of the shift grid: phase at the highest ring searched.
_SHIFT_PHASE_RAD = 1.2
# Samples (rotation, shift) of an image from which distinct orientations are picked.
_CANDIDATES = 500


@dataclass(frozen=True)
class GlobalSearch:
    """References on a rotation grid, candidate shifts and the band they are compared in.

    ``rotation`` float64 [o, 3, 3], the slices of ``table`` in the same order; ``shifts_px`` [s, 2] are added
    to each particle's present shift and ``ramps`` complex64 [s, n] undo them; ``pixels`` are the n pixels of the
    band; ``step_deg`` is the spacing of the grid.
    """

    rotation: Tensor
    table: ReferenceTable
    shifts_px: Tensor
    ramps: Tensor
    pixels: PixelList
    step_deg: float


def step_deg(order: int) -> float:
    """Spacing of HEALPix directions in degrees: sqrt(4 pi / 12) rad = 58.6 degrees at order 0, half of it each order
    more.
    """
    return 58.6323 / float(2**order)


def usable_ring(order: int, box_size_px: int, radius_px: float) -> int:
    """Highest ring at which half a grid step still moves the particle's rim by little phase.

    ``r = 1.5 D / (2 pi R d / 2)`` with the radius R in pixels and the grid step d in radians.
    """
    half_step = math.radians(step_deg(order)) / 2
    return int(_GRID_PHASE_RAD * box_size_px / (2 * math.pi * radius_px * half_step))


def search_order(box_size_px: int, radius_px: float, r_max_px: int, group_size: int, limit: int) -> int:
    """The coarsest HEALPix order that serves all rings, or the finest one within ``limit`` orientations.

    A finer grid than the band needs costs eight times more for nothing. The grid of an order has 12 * 4^order
    directions times 6 * 2^order in-plane angles, divided by the size of the point group.

    Returns
    -------
    int
        From 2 (15 degrees) to 5 (1.8 degrees).
    """
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
    """Slice the reference on a randomly turned grid, up to the ring that the grid can serve.

    The whole grid is turned at random each time, so that its points favor no orientation over the iterations.

    Parameters
    ----------
    reference
        Transform of the half's map, with rings at least up to those of ``pixels``.
    pixels
        The whole band of the iteration; the search takes a prefix of it, of four rings at least.
    order
        HEALPix order of the grid.
    operators
        Point group float64 [g, 3, 3]; only one of each set of equivalent directions is sliced.
    radius_px
        Radius of the particle.
    shift_range_px
        Radius of the disc of shifts. It is at least 2.5 of its own steps: 21 shifts.
    generator
        CPU generator of the turn.

    Notes
    -----
    Slices, their power and the copy for the first pass take 16 to 20 bytes a pixel and orientation.
    """
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

    Up to 500 samples that hold 99.99 % of an image's posterior are kept. Many of them are neighbors of the best one;
    refined, all of these would end in one optimum. So an orientation counts only if it lies more than 1.5 grid
    steps from every better one.

    Parameters
    ----------
    search
        References, shifts and band.
    images
        Whitened images of b particles, centered by ``shift_px`` already.
    shift_px
        Their present shifts, float64 [b, 2].
    sigma_shift_px
        Width of the Gaussian prior on how far a particle lies from ``shift_px``; taken as 0.5 px at least.
    max_modes
        Most orientations an image may give.

    Returns
    -------
    image, rotation, shift_px
        m starting poses, sorted by image, best first: row int64 [m] of ``images``, float64 [m, 3, 3] and the whole
        shift (present one included) [m, 2].
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
