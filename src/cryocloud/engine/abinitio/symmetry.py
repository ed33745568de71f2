"""Axes of a point group in a map that was made without it.

A frame R and an origin are right if the map, seen from there, is the same under all rotations g of the group. The
measure is the share of power that survives symmetrization, ``mean over k of |mean over g of F(R g k)|^2 / <|F|^2>``.
It is 1 for a symmetric map; where the copies have nothing in common it is one over the group's size.

The rotational average of a map has every symmetry and would make any frame look good, so it is taken out before; and
all shells are made equally strong, as else the coarsest would decide alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.alignment.volumes import VolumeAlignment
from cryocloud.engine.fourier import half_space, irfftn, rfftn, shell_average
from cryocloud.engine.fourier.space import SpaceGrid, sample_space, space_grid
from cryocloud.engine.geometry import rotation_from_vector, rotation_grid

_GRID_ORDER = 3
# Random frequencies that stand for all of them, and the diameter over the finest detail in the first round.
_POINTS = 600
_COARSE_DETAILS = 6.0
_CANDIDATES, _FINALISTS = 6, 2
_LOWEST_SHELL = 3
_DIRECTIONS = 400
_FRAMES_AT_ONCE = 256
_FIRST_TURN_RAD, _LAST_TURN_RAD = 0.06, 0.004
_FIRST_MOVE_PX = 0.5


@dataclass(frozen=True)
class SymmetryFit:
    """``alignment`` lays a map on the axes of the group; ``explained`` is the share of the map's power (without its
    rotational average, shells equally strong) that is left after symmetrization.

    It is above zero for any map, and larger the smaller the group: only how far it exceeds that of a map without
    information tells whether the map has the symmetry.
    """

    alignment: VolumeAlignment
    explained: float


def find_symmetry_axes(
    volume: Float32[Tensor, "d d d"],
    operators: Float64[Tensor, "g 3 3"],
    *,
    pixel_size_angstrom: float,
    diameter_angstrom: float,
    resolution_angstrom: float,
    generator: torch.Generator,
) -> SymmetryFit:
    """Turn and shift a map so that the axes of a point group stand as RELION wants them.

    Every frame of a 7.5 degree grid is tried in the band that such a step resolves; the best few are improved by a
    pattern search on the share of the map's power that survives symmetrization, there and then in the whole band.

    Parameters
    ----------
    volume
        Map [d, d, d] whose center is near the middle of the box, where the search for the shift begins.
    operators
        Rotations of the group, the identity first.
    pixel_size_angstrom
        Of the map.
    diameter_angstrom, resolution_angstrom
        Of the particle and of the finest detail that is compared.
    generator
        CPU generator that draws the 600 frequencies of each band.
    """
    box_angstrom = volume.shape[0] * pixel_size_angstrom
    finest = min(volume.shape[0] // 2 - 1, round(box_angstrom / resolution_angstrom))
    first = min(finest, max(_LOWEST_SHELL + 1, round(box_angstrom * _COARSE_DETAILS / diameter_angstrom)))
    operators = operators.to(volume.device)
    frames = _one_of_each_coset(rotation_grid(_GRID_ORDER).to(volume.device), operators)
    coarse = _spectrum(volume, first, generator)
    still = torch.zeros(1, 3, dtype=torch.float64, device=volume.device)
    scores = torch.cat(
        [_survival(coarse, block, still, operators) for block in torch.split(frames, _FRAMES_AT_ONCE)]
    )
    leading = frames[scores.argsort(descending=True)[:_CANDIDATES]]
    rough = [_climb(coarse, frame, still[0], operators) for frame in leading]
    fine = _spectrum(volume, finest, generator)
    best = [_climb(fine, *found[1:], operators) for found in sorted(rough, key=lambda f: -f[0])[:_FINALISTS]]
    explained, frame, shift_px = max(best, key=lambda found: found[0])
    alignment = VolumeAlignment(frame.mT.cpu(), -(frame.mT @ shift_px).cpu(), False, explained)
    return SymmetryFit(alignment, explained)


def symmetrized_volume(
    volume: Float32[Tensor, "d d d"], operators: Float64[Tensor, "g 3 3"]
) -> Float32[Tensor, "d d d"]:
    """Mean of a volume's copies under the operators.

    The copies are sampled in Fourier space with a Kaiser-Bessel kernel, right to about 1e-3: trilinear copies would
    differ by a pattern of the lattice. Frequencies from the Nyquist shell on are left out; the mean density stays.
    """
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
    """Mean over all rotations about the center D//2; frequencies from the Nyquist shell on are left out.

    Each radius of the Fourier lattice is averaged by itself: a mean over whole shells would leave a part of the
    radial profile behind, which looks like a symmetry of the lattice.

    The lattice has frequencies at the square roots of integers only, (D/2 - 1)^2 radii at most. For each the transform
    is averaged over 400 even directions: 100 D^2 samples of 64 taps. The mean over a sphere is real.
    """
    box = volume.shape[0]
    line = torch.fft.fftfreq(box, 1 / box, device=volume.device)
    half = torch.fft.rfftfreq(box, 1 / box, device=volume.device)
    squared = (line[:, None, None] ** 2 + line[:, None] ** 2 + half**2).round().long()
    r_max_px = box // 2 - 1
    index = squared.clamp(max=r_max_px**2)
    radius = torch.arange(r_max_px**2 + 1, device=volume.device).sqrt()
    points = (radius[:, None, None] * _even_directions(_DIRECTIONS).to(radius)).view(-1, 3)
    identity = torch.eye(3, device=volume.device)[None]
    values = sample_space(space_grid(volume, r_max_px), identity, points)[0].real.view(len(radius), -1)
    transform = torch.where(squared <= r_max_px**2, values.mean(1)[index] * box, 0)
    return irfftn(transform.to(torch.complex64), box)


def _even_directions(n: int) -> Tensor:
    """Unit vectors [n, 3] on a spiral (Fibonacci lattice)."""
    step = torch.arange(n, dtype=torch.float64) + 0.5
    z = 1 - 2 * step / n
    angle = math.pi * (1 + math.sqrt(5)) * step
    sine = torch.sqrt(1 - z**2)
    return torch.stack([sine * torch.cos(angle), sine * torch.sin(angle), z], 1).to(torch.float32)


def _one_of_each_coset(rotation: Tensor, operators: Tensor) -> Tensor:
    """Frames R and R g show the same axes; the one closest to the identity stays."""
    trace = torch.einsum("nij,gji->ng", rotation, operators)
    return rotation[trace[:, 0] >= trace.amax(1) - 1e-6]


@dataclass(frozen=True)
class _Spectrum:
    """A map without its rotational average, at random frequencies ``points`` [p, 3]; ``scale`` [p] whitens shells.

    Frequencies are integers in units of 1/D, from shell 3 on; coarser ones hold too few to tell frames apart.
    """

    grid: SpaceGrid
    points: Tensor
    scale: Tensor


def _spectrum(volume: Tensor, r_max_px: int, generator: torch.Generator) -> _Spectrum:
    """Prepare a map with at most 600 frequencies up to shell ``r_max_px``."""
    plain = without_rotational_average(volume)
    space = half_space(volume.shape[0], r_max_px, volume.device)
    first = int(torch.searchsorted(space.shell, _LOWEST_SHELL))
    chosen = torch.randperm(len(space) - first, generator=generator)[:_POINTS].to(volume.device) + first
    power = (rfftn(plain).abs().flatten()[space.flat_index] / volume.shape[0]) ** 2
    rms = shell_average(power, space.shell, r_max_px + 1).sqrt().clamp(min=1e-30).to(torch.float32)
    return _Spectrum(space_grid(plain, r_max_px), space.points[chosen], 1 / rms[space.shell[chosen]])


def _survival(spectrum: _Spectrum, frames: Tensor, shifts_px: Tensor, operators: Tensor) -> Tensor:
    """Share [s] of the power that is left in the mean over the group of the map seen from frames, at shifts.

    ``frames`` float64 [s, 3, 3] and ``shifts_px`` float64 [s, 3] (or [1, 3]): the map is moved by minus the shift,
    then its transform is sampled at ``R g k`` for each operator g.
    """
    total = torch.zeros(len(frames), len(spectrum.points), dtype=torch.complex64, device=frames.device)
    for operator in operators:
        turned = frames @ operator
        values = sample_space(spectrum.grid, turned, spectrum.points)
        along = torch.einsum("sj,sjk->sk", shifts_px.expand(len(frames), 3), turned).to(torch.float32)
        turns = along @ spectrum.points.mT * (2 * math.pi / spectrum.grid.box_size_px)
        total += values * torch.polar(torch.ones_like(turns), turns)
    return ((total.abs() / len(operators) * spectrum.scale) ** 2).mean(1).to(torch.float64)


def _climb(
    spectrum: _Spectrum, frame: Tensor, shift_px: Tensor, operators: Tensor
) -> tuple[float, Tensor, Tensor]:
    """Best frame and shift near a start: the best of six turns and six shifts, halving the step where none helps.

    Steps begin with 0.06 rad (3.4 degrees) and 0.5 px and end below 0.004 rad. The measure needs no derivative and is
    cheap at 600 points.
    """
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).to(frame.device, torch.float64)
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
