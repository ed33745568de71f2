"""Maps from particles alone: right on an object, and known to be wrong on noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cryocloud.engine.abinitio import (
    AbInitioParameters,
    AbInitioState,
    load_observations,
    progress_fraction,
    reconstruct,
    start_ab_initio,
)
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.simulate.comparison import compare_maps

PIXEL_ANGSTROM, BOX_PX = 5.0, 32


def _parameters(symmetry: str, **changes: object) -> AbInitioParameters:
    base = AbInitioParameters(
        mask_diameter_angstrom=120.0,
        operators=symmetry_operators(symmetry),
        last_resolution_angstrom=14.0,
        n_updates=40,
        n_passes=2,
        first_batch=60,
        last_batch=150,
    )
    return replace(base, **changes)


def _states(particles: ParticleSet, parameters: AbInitioParameters) -> list[AbInitioState]:
    observations = load_observations(particles, parameters)
    start = start_ab_initio(observations, parameters)
    return [start, *reconstruct(observations, start, parameters)]


@pytest.mark.parametrize("symmetry", [pytest.param("C1", marks=pytest.mark.slow), "D2"])
def test_the_object_is_found(blob_volume: Any, simulated_particles: Any, symmetry: str) -> None:
    volume = blob_volume(symmetry, box_size_px=BOX_PX, seed=3)
    simulated = simulated_particles(
        volume, 400, pixel_size_angstrom=PIXEL_ANGSTROM, snr=0.3, max_shift_px=1.0
    )
    parameters = _parameters(symmetry)
    states = _states(simulated.particles, parameters)
    last = states[-1]
    observations = load_observations(simulated.particles, parameters)
    found = observations.full_size(last.solution.volumes[0])
    # The bar of the project for maps from nothing.
    assert compare_maps(found, PIXEL_ANGSTROM, volume, PIXEL_ANGSTROM).low_pass_correlation > 0.9
    assert last.comparison is not None
    assert last.comparison.agreement_of_best > 0.7
    assert last.final_gain is not None
    assert last.final_gain[0] > 5 * last.final_gain[1]
    fractions = [progress_fraction(state, parameters) for state in states]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] == 1


def test_starts_go_on_until_two_agree(blob_volume: Any, simulated_particles: Any) -> None:
    """Maps of noise never agree, so that all starts are made."""
    simulated = simulated_particles(blob_volume(box_size_px=BOX_PX), 80, pixel_size_angstrom=PIXEL_ANGSTROM)
    noise = torch.randn(80, BOX_PX, BOX_PX, generator=torch.Generator().manual_seed(1)).numpy()
    particles = replace(simulated.particles, read_images=lambda rows: noise[rows])
    last = _states(particles, _parameters("C1", n_updates=6, max_starts=3))[-1]
    assert len(last.finished) == 3
    assert last.comparison is not None
    assert last.comparison.agreement_of_best < 0.7


def test_the_same_seed_gives_the_same_map(blob_volume: Any, simulated_particles: Any) -> None:
    simulated = simulated_particles(blob_volume(box_size_px=24), 100, pixel_size_angstrom=6.0, snr=0.5)
    parameters = _parameters("C1", n_updates=4, max_starts=2, last_resolution_angstrom=20.0)
    first, second, other = (
        _states(simulated.particles, p)[-1].solution.volumes
        for p in (parameters, parameters, replace(parameters, seed=1))
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
