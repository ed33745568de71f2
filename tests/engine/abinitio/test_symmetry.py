"""Rotational averages and the axes of point groups in maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cryocloud.engine.abinitio.comparison import with_random_phases
from cryocloud.engine.abinitio.symmetry import (
    find_symmetry_axes,
    rotational_average,
    symmetrized_volume,
    without_rotational_average,
)
from cryocloud.engine.alignment.volumes import VolumeAlignment, apply_alignment
from cryocloud.engine.geometry import random_rotations, symmetry_operators

PIXEL_ANGSTROM = 4.0


def _correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def _turned(volume: Tensor, rotation: Tensor, shift_px: tuple[float, float, float]) -> Tensor:
    shift = torch.tensor(shift_px, dtype=torch.float64)
    return apply_alignment(volume, VolumeAlignment(rotation, shift, False, 1.0))


def _shell(box: int, radius_px: float) -> Tensor:
    line = torch.arange(box) - box // 2
    radius = (line[:, None, None] ** 2 + line[:, None] ** 2 + line**2).float().sqrt()
    return torch.exp(-((radius - radius_px) ** 2) / 4)


def test_a_hollow_shell_is_its_own_average() -> None:
    """Nothing may be left that has the symmetry of the lattice: maps would lock to it."""
    shell = _shell(32, 8.0)
    rest = without_rotational_average(shell)
    # Cut at the Nyquist sphere, whose corner frequencies hold about 1e-3 of the amplitude.
    assert float(rest.norm() / shell.norm()) < 2e-3


def test_the_average_does_not_see_rotations(blob_volume: Any) -> None:
    volume = blob_volume(box_size_px=32)
    rotation = random_rotations(1, torch.Generator().manual_seed(1))[0]
    average = rotational_average(volume)
    turned = rotational_average(_turned(volume, rotation, (0, 0, 0)))
    # Turning interpolates; 1 % of the average is what that costs.
    assert float((turned - average).norm() / average.norm()) < 0.01


def test_symmetrized_maps_have_the_symmetry(blob_volume: Any) -> None:
    operators = symmetry_operators("D2")
    volume = symmetrized_volume(blob_volume(box_size_px=32), operators)
    for operator in operators:
        assert _correlation(_turned(volume, operator, (0, 0, 0)), volume) > 0.999


@pytest.mark.parametrize("symmetry", ["C3", "D2", pytest.param("O", marks=pytest.mark.slow)])
def test_axes_are_found_in_a_turned_map(blob_volume: Any, symmetry: str) -> None:
    volume = blob_volume(symmetry, box_size_px=32, n_blobs=96)
    rotation = random_rotations(1, torch.Generator().manual_seed(5))[0]
    moved = _turned(volume, rotation, (0.8, -0.5, 0.6))
    operators = symmetry_operators(symmetry)
    fit = find_symmetry_axes(
        moved,
        operators,
        pixel_size_angstrom=PIXEL_ANGSTROM,
        diameter_angstrom=90.0,
        resolution_angstrom=14.0,
        generator=torch.Generator().manual_seed(2),
    )
    assert fit.explained > 0.9
    on_axes = apply_alignment(moved, fit.alignment)
    assert _correlation(symmetrized_volume(on_axes, operators), on_axes) > 0.97


def test_a_group_that_is_not_there_explains_no_more_than_of_random_phases(blob_volume: Any) -> None:
    volume = blob_volume(box_size_px=32)
    scrambled = with_random_phases(volume, torch.Generator().manual_seed(3))
    explained, by_chance = (
        find_symmetry_axes(
            tried,
            symmetry_operators("D2"),
            pixel_size_angstrom=PIXEL_ANGSTROM,
            diameter_angstrom=90.0,
            resolution_angstrom=14.0,
            generator=torch.Generator().manual_seed(2),
        ).explained
        for tried in (volume, scrambled)
    )
    assert explained < by_chance
