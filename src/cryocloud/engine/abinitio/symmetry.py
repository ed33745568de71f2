"""Axes of a point group in a map that was made without it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.alignment.volumes import VolumeAlignment
from cryocloud.engine.fourier import half_space, irfftn, rfftn, shell_average, shell_index
from cryocloud.engine.fourier.space import SpaceGrid, sample_space, space_grid
from cryocloud.engine.geometry import rotation_from_vector, rotation_grid

_GRID_ORDER = 3
_COARSE_POINTS, _FINE_POINTS = 400, 1500
_CANDIDATES = 4
_LOWEST_SHELL = 3
_FRAMES_AT_ONCE = 256
_FIRST_TURN_RAD, _LAST_TURN_RAD = 0.06, 0.004
_FIRST_MOVE_PX = 0.5


@dataclass(frozen=True)
class SymmetryFit:
    """``alignment`` lays a map on the axes of the group; ``explained`` is the share of the map's power (without its
    rotational average, shells equally strong) that is left after symmetrization, ``by_chance`` the mean of that over
    all frames.
    """

    alignment: VolumeAlignment
    explained: float
    by_chance: float


def find_symmetry_axes(
    volume: Float32[Tensor, "d d d"],
    operators: Float64[Tensor, "g 3 3"],
    *,
    pixel_size_angstrom: float,
    resolution_angstrom: float,
    generator: torch.Generator,
) -> SymmetryFit:
    """Turn and shift a map so that the axes of a point group stand as RELION wants them.

    Every frame of a 7.5 degree grid is tried; the best few are improved in turn and shift by a pattern search on the
    share of the map's power that survives symmetrization.
    """
    box = volume.shape[0]
    r_max_px = min(box // 2 - 1, round(box * pixel_size_angstrom / resolution_angstrom))
    operators = operators.to(volume.device)
    frames = _one_of_each_coset(rotation_grid(_GRID_ORDER).to(volume.device), operators)
    coarse = _spectrum(volume, r_max_px, _COARSE_POINTS, generator)
    still = torch.zeros(1, 3, dtype=torch.float64, device=volume.device)
    scores = torch.cat(
        [_survival(coarse, block, still, operators) for block in torch.split(frames, _FRAMES_AT_ONCE)]
    )
    fine = _spectrum(volume, r_max_px, _FINE_POINTS, generator)
    best = [
        _climb(fine, frame, operators) for frame in frames[scores.argsort(descending=True)[:_CANDIDATES]]
    ]
    explained, frame, shift_px = max(best, key=lambda found: found[0])
    alignment = VolumeAlignment(frame.mT.cpu(), -(frame.mT @ shift_px).cpu(), False, explained)
    return SymmetryFit(alignment, explained, float(scores.mean()))


def symmetrized_volume(
    volume: Float32[Tensor, "d d d"], operators: Float64[Tensor, "g 3 3"]
) -> Float32[Tensor, "d d d"]:
    """Mean of a volume's copies under the operators."""
    box = volume.shape[0]
    space = half_space(box, box // 2 - 1, volume.device)
    grid = space_grid(volume, box // 2 - 1)
    mean = sample_space(grid, operators.to(volume.device), space.points).mean(0)
    transform = torch.zeros(box * box * (box // 2 + 1), dtype=torch.complex64, device=volume.device)
    transform[space.flat_index] = mean * box
    transform[0] = volume.sum()
    transform = transform.view(box, box, box // 2 + 1)
    # The plane kx = 0 needs both members of each pair.
    plane = transform[:, :, 0]
    twin = torch.roll(plane.flip(0, 1), (1, 1), (0, 1)).conj()
    transform[:, :, 0] = torch.where(plane == 0, twin, plane)
    return irfftn(transform, box)


def without_rotational_average(volume: Float32[Tensor, "d d d"]) -> Float32[Tensor, "d d d"]:
    """What makes orientations differ: a map less its average over all rotations about its center."""
    return volume - rotational_average(volume)


def rotational_average(volume: Float32[Tensor, "d d d"]) -> Float32[Tensor, "d d d"]:
    """Mean over all rotations about the center D//2, made shell by shell in Fourier space."""
    box = volume.shape[0]
    shell = shell_index(box, 3, volume.device)
    transform = rfftn(volume)
    mean = shell_average(transform.real, shell, int(shell.max()) + 1).to(torch.float32)
    return irfftn(mean[shell].to(torch.complex64), box)


def _one_of_each_coset(rotation: Tensor, operators: Tensor) -> Tensor:
    """Frames R and R g show the same axes; the one closest to the identity stays."""
    trace = torch.einsum("nij,gji->ng", rotation, operators)
    return rotation[trace[:, 0] >= trace.amax(1) - 1e-6]


@dataclass(frozen=True)
class _Spectrum:
    """A map without its rotational average, at random frequencies ``points`` [p, 3]; ``scale`` [p] whitens shells."""

    grid: SpaceGrid
    points: Tensor
    scale: Tensor


def _spectrum(volume: Tensor, r_max_px: int, n_points: int, generator: torch.Generator) -> _Spectrum:
    plain = without_rotational_average(volume)
    space = half_space(volume.shape[0], r_max_px, volume.device)
    first = int(torch.searchsorted(space.shell, _LOWEST_SHELL))
    chosen = torch.randperm(len(space) - first, generator=generator)[:n_points].to(volume.device) + first
    power = (rfftn(plain).abs().flatten()[space.flat_index] / volume.shape[0]) ** 2
    rms = shell_average(power, space.shell, r_max_px + 1).sqrt().clamp(min=1e-30).to(torch.float32)
    return _Spectrum(space_grid(plain, r_max_px), space.points[chosen], 1 / rms[space.shell[chosen]])


def _survival(spectrum: _Spectrum, frames: Tensor, shifts_px: Tensor, operators: Tensor) -> Tensor:
    """Share [s] of the power that is left in the mean over the group of the map seen from frames, at shifts."""
    total = torch.zeros(len(frames), len(spectrum.points), dtype=torch.complex64, device=frames.device)
    for operator in operators:
        turned = frames @ operator
        values = sample_space(spectrum.grid, turned, spectrum.points)
        along = torch.einsum("sj,sjk->sk", shifts_px.expand(len(frames), 3), turned).to(torch.float32)
        turns = along @ spectrum.points.mT * (2 * math.pi / spectrum.grid.box_size_px)
        total += values * torch.polar(torch.ones_like(turns), turns)
    return ((total.abs() / len(operators) * spectrum.scale) ** 2).mean(1).to(torch.float64)


def _climb(spectrum: _Spectrum, frame: Tensor, operators: Tensor) -> tuple[float, Tensor, Tensor]:
    """Best frame and shift near a start: the best of six turns and six shifts, halving the step where none helps."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).to(frame.device, torch.float64)
    shift_px = torch.zeros(3, dtype=torch.float64, device=frame.device)
    score = float(_survival(spectrum, frame[None], shift_px[None], operators)[0])
    turn_rad, move_px = _FIRST_TURN_RAD, _FIRST_MOVE_PX
    while turn_rad > _LAST_TURN_RAD:
        frames = torch.cat([frame @ rotation_from_vector(turn_rad * axes), frame.expand(6, 3, 3)])
        shifts_px = shift_px + torch.cat([0 * axes, move_px * axes])
        tried = _survival(spectrum, frames, shifts_px, operators)
        best = int(tried.argmax())
        if float(tried[best]) > score:
            score, frame, shift_px = float(tried[best]), frames[best], shifts_px[best]
        else:
            turn_rad, move_px = turn_rad / 2, move_px / 2
    return score, frame, shift_px
