"""Axes of a point group in a map that was made without it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.alignment.volumes import VolumeAlignment, apply_alignment, refine_volume_alignment
from cryocloud.engine.fourier import HalfSpace, half_space, irfftn, rfftn, shell_average, shell_index
from cryocloud.engine.fourier.space import sample_space, space_grid
from cryocloud.engine.geometry import rotation_grid

_GRID_ORDER = 3
_POINTS = 400
_CANDIDATES = 3
_ROUNDS = 4
_LOWEST_SHELL = 3
_ROTATIONS_AT_ONCE = 256


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

    Every frame of a 7.5 degree grid is tried; the best three are improved by aligning the map to its own
    symmetrized copy, again and again.
    """
    box = volume.shape[0]
    r_max_px = min(box // 2 - 1, round(box * pixel_size_angstrom / resolution_angstrom))
    frames = _one_of_each_coset(rotation_grid(_GRID_ORDER), operators).to(volume.device)
    scores = _frame_scores(volume, frames, operators.to(volume.device), r_max_px, generator)
    fits = []
    for frame in frames[scores.argsort(descending=True)[:_CANDIDATES]]:
        alignment = VolumeAlignment(frame.mT.cpu(), torch.zeros(3, dtype=torch.float64), False, 0.0)
        for _ in range(_ROUNDS):
            target = symmetrized_volume(apply_alignment(volume, alignment), operators)
            alignment = refine_volume_alignment(
                volume,
                target,
                alignment,
                pixel_size_angstrom=pixel_size_angstrom,
                resolution_angstrom=resolution_angstrom,
            )
        fits.append((_explained(apply_alignment(volume, alignment), operators, r_max_px), alignment))
    explained, alignment = max(fits, key=lambda fit: fit[0])
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


def _frame_scores(
    volume: Tensor, frames: Tensor, operators: Tensor, r_max_px: int, generator: torch.Generator
) -> Tensor:
    """Share of the power at random frequencies that survives the mean over the operators of each frame."""
    space = half_space(volume.shape[0], r_max_px, volume.device)
    first = int(torch.searchsorted(space.shell, _LOWEST_SHELL))
    chosen = torch.randperm(len(space) - first, generator=generator)[:_POINTS].to(volume.device) + first
    points = space.points[chosen]
    plain = without_rotational_average(volume)
    grid = space_grid(plain, r_max_px)
    scale = 1 / _shell_rms(plain, space)[space.shell[chosen]]
    scores = []
    for block in torch.split(frames, _ROTATIONS_AT_ONCE):
        mean = sum(sample_space(grid, block @ operator, points) for operator in operators) / len(operators)
        scores.append(((mean.abs() * scale) ** 2).mean(1))
    return torch.cat(scores)


def _shell_rms(volume: Tensor, space: HalfSpace) -> Tensor:
    power = (rfftn(volume).abs().flatten()[space.flat_index] / volume.shape[0]) ** 2
    return shell_average(power, space.shell, int(space.shell[-1]) + 1).sqrt().clamp(min=1e-30).to(torch.float32)


def _explained(volume: Tensor, operators: Tensor, r_max_px: int) -> float:
    plain = without_rotational_average(volume)
    space = half_space(volume.shape[0], r_max_px, volume.device)
    kept = (_shell_rms(symmetrized_volume(plain, operators), space) / _shell_rms(plain, space)) ** 2
    count = torch.bincount(space.shell)
    weight = (count * (torch.arange(len(count), device=count.device) >= _LOWEST_SHELL)).to(torch.float32)
    return float((kept * weight).sum() / weight.sum())
