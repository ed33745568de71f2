"""Refinement finds poses and maps, keeps its halves apart, resumes exactly, and invents nothing from noise."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fsc, low_pass
from cryocloud.engine.geometry import angular_distance_deg, symmetry_operators
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.refinement import (
    RefinementParameters,
    RefinementState,
    combined_map,
    refine,
    start_refinement,
)
from cryocloud.engine.refinement.amplitude import matched_amplitude
from cryocloud.engine.refinement.maximization import resolution_shell

PIXEL_ANGSTROM = 3.0
START_ANGSTROM = 24.0


def _unknown_poses(particles: ParticleSet) -> ParticleSet:
    return replace(
        particles,
        rotation=torch.eye(3, dtype=torch.float64).repeat(len(particles), 1, 1),
        shift_px=torch.zeros(len(particles), 2, dtype=torch.float64),
        half_set=torch.zeros(len(particles), dtype=torch.int64),
    )


def _parameters(symmetry: str, box_size_px: int, **changes: object) -> RefinementParameters:
    base = RefinementParameters(
        mask_diameter_angstrom=0.8 * box_size_px * PIXEL_ANGSTROM,
        operators=symmetry_operators(symmetry),
        start_resolution_angstrom=START_ANGSTROM,
        shift_range_angstrom=9.0,
        seed=3,
    )
    return replace(base, **changes)


@pytest.fixture(scope="module")
def d2_case(blob_volume, simulated_particles):  # type: ignore[no-untyped-def]
    volume = blob_volume("D2", box_size_px=48, n_blobs=120)
    return volume, simulated_particles(volume, 300, snr=0.2, pixel_size_angstrom=PIXEL_ANGSTROM)


@pytest.fixture(scope="module")
def d2_states(d2_case) -> list[RefinementState]:  # type: ignore[no-untyped-def]
    volume, simulated = d2_case
    particles, parameters = _unknown_poses(simulated.particles), _parameters("D2", 48)
    # The gray scale of the reference must not matter.
    start = start_refinement(particles, 37.0 * volume, parameters)
    return [start, *refine(particles, start, parameters)]


def test_poses_and_map_come_near_the_truth(d2_case, d2_states) -> None:  # type: ignore[no-untyped-def]
    volume, simulated = d2_case
    end = d2_states[-1]
    error = angular_distance_deg(end.rotation, simulated.particles.rotation, symmetry_operators("D2"))
    # The local refinement's covariance predicts about 2 degrees at this signal; a wrong basin costs 10 or more.
    assert error.median() < 3.0
    assert (error > 10).double().mean() < 0.05
    shift_error = (end.shift_px - simulated.particles.shift_px).norm(dim=1)
    assert shift_error.median() < 0.3
    shell = resolution_shell(end.fsc)
    assert shell > 1.5 * 48 * PIXEL_ANGSTROM / START_ANGSTROM
    # FSC 0.143 between halves stands for 0.5 against the truth (Rosenthal & Henderson 2003); one shell of slack.
    assert fsc(combined_map(end), volume)[shell - 1] > 0.45


def test_half_sets_stay_fixed_and_balanced(d2_states) -> None:  # type: ignore[no-untyped-def]
    first = d2_states[0].half_set
    assert sorted(np.bincount(first.numpy())[1:]) == [150, 150]
    assert all(torch.equal(first, state.half_set) for state in d2_states)


def test_given_half_sets_are_kept(d2_case) -> None:  # type: ignore[no-untyped-def]
    volume, simulated = d2_case
    start = start_refinement(simulated.particles, volume, _parameters("D2", 48))
    assert torch.equal(start.half_set, simulated.particles.half_set)


def test_a_stored_state_continues_with_the_same_result(d2_case, d2_states) -> None:  # type: ignore[no-untyped-def]
    _, simulated = d2_case
    particles, parameters = _unknown_poses(simulated.particles), _parameters("D2", 48)
    continued = list(refine(particles, d2_states[2], parameters))
    for field in fields(RefinementState):
        expected, found = getattr(d2_states[-1], field.name), getattr(continued[-1], field.name)
        same = torch.equal(expected, found) if isinstance(expected, Tensor) else expected == found
        assert same, field.name


def test_halves_share_nothing_finer_than_the_start(d2_case) -> None:  # type: ignore[no-untyped-def]
    """Changing one half's images leaves the other half's map untouched beyond the shells that are joined."""
    volume, simulated = d2_case
    particles, parameters = simulated.particles, _parameters("D2", 48)
    start = start_refinement(particles, volume, parameters)
    in_second = (start.half_set == 2).numpy()
    noise = np.random.default_rng(0)

    def read_changed(rows):  # type: ignore[no-untyped-def]
        images = particles.read_images(rows).copy()
        images[in_second[rows]] += noise.normal(size=images.shape[1:]).astype(np.float32)
        return images

    changed = replace(particles, read_images=read_changed)
    one, other = (next(iter(refine(p, start, parameters))) for p in (particles, changed))
    assert torch.equal(one.half_maps[0], other.half_maps[0])
    assert not torch.equal(one.half_maps[1], other.half_maps[1])


def test_pure_noise_gives_no_resolution(blob_volume, simulated_particles) -> None:  # type: ignore[no-untyped-def]
    volume = blob_volume("C1", box_size_px=32)
    simulated = simulated_particles(volume, 200, snr=1e-9, pixel_size_angstrom=PIXEL_ANGSTROM)
    particles, parameters = _unknown_poses(simulated.particles), _parameters("C1", 32)
    start = start_refinement(particles, volume, parameters)
    end = list(refine(particles, start, parameters))[-1]
    # The bar of the method: nothing better than twice the start resolution.
    assert resolution_shell(end.fsc) <= 2 * 32 * PIXEL_ANGSTROM / START_ANGSTROM


def test_reference_amplitude_is_recovered(d2_case) -> None:  # type: ignore[no-untyped-def]
    volume, simulated = d2_case
    parameters = _parameters("D2", 48)
    filtered = low_pass(volume, START_ANGSTROM, PIXEL_ANGSTROM)
    sigma2 = torch.full((24,), simulated.noise_variance, dtype=torch.float64)
    found = matched_amplitude(5.0 * filtered, simulated.particles, sigma2, parameters, r_max_px=6)
    # Poses on a 15 degree grid lose some signal, so the factor is low rather than high.
    assert 0.6 / 5 < found < 1.1 / 5


def test_reference_of_another_box_is_refused(d2_case) -> None:  # type: ignore[no-untyped-def]
    _, simulated = d2_case
    with pytest.raises(InputError, match="resample"):
        start_refinement(simulated.particles, torch.zeros(40, 40, 40), _parameters("D2", 48))


def test_too_few_particles_are_refused(d2_case) -> None:  # type: ignore[no-untyped-def]
    volume, simulated = d2_case
    rows = slice(0, 12)
    p = simulated.particles
    few = replace(
        p,
        ctf=p.ctf.select(rows),
        rotation=p.rotation[rows],
        shift_px=p.shift_px[rows],
        half_set=p.half_set[rows],
        class_number=p.class_number[rows],
    )
    with pytest.raises(InputError, match="at least 10"):
        start_refinement(few, volume, _parameters("D2", 48))


def test_the_last_ring_that_was_inserted_counts(d2_case) -> None:  # type: ignore[no-untyped-def]
    """Halves of the same images agree up to the last full ring of the box, and the final curve says so."""
    volume, simulated = d2_case
    particles = simulated.particles

    def read_the_first_half(rows):  # type: ignore[no-untyped-def]
        return particles.read_images(rows - rows % 2)

    first = torch.arange(len(particles)) - torch.arange(len(particles)) % 2
    twins = replace(
        particles,
        read_images=read_the_first_half,
        ctf=particles.ctf.select(first),
        rotation=particles.rotation[first],
        shift_px=particles.shift_px[first],
    )
    end = list(refine(twins, start_refinement(twins, volume, _parameters("D2", 48)), _parameters("D2", 48)))[
        -1
    ]
    assert resolution_shell(end.fsc_corrected) == 48 // 2 - 1
