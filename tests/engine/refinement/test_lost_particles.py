"""Particles in a wrong basin are looked for again, and images that show no particle do not enter the map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryocloud.engine.fourier import low_pass, make_pixel_list
from cryocloud.engine.geometry import angular_distance_deg, random_rotations, symmetry_operators
from cryocloud.engine.reconstruction import slice_volume, volume_transform
from cryocloud.engine.refinement import RefinementParameters, RefinementState, refine, start_refinement
from cryocloud.engine.refinement.envelope import EnvelopeSums
from cryocloud.engine.refinement.expectation import Batch, BatchPoses, compare_with_models
from cryocloud.engine.refinement.refine import searched_particles

BOX_PX, PIXEL_ANGSTROM, N, TURNED = 48, 3.0, 240, 24
OPERATORS = symmetry_operators("C1")


@pytest.fixture(scope="module")
def case(blob_volume, simulated_particles):  # type: ignore[no-untyped-def]
    volume = blob_volume("C1", box_size_px=BOX_PX, n_blobs=120)
    return volume, simulated_particles(volume, N, snr=0.1, pixel_size_angstrom=PIXEL_ANGSTROM).particles


def _parameters() -> RefinementParameters:
    return RefinementParameters(
        mask_diameter_angstrom=0.8 * BOX_PX * PIXEL_ANGSTROM,
        operators=OPERATORS,
        start_resolution_angstrom=20.0,
        shift_range_angstrom=9.0,
        max_iterations=9,
    )


def _local(state: RefinementState) -> RefinementState:
    return replace(state, phase="local", history=state.history[-1:] * 3)


def test_turned_particles_come_back_in_the_local_phase(case) -> None:  # type: ignore[no-untyped-def]
    """After a local iteration every tenth pose is thrown anywhere; the next ones find it out and search again."""
    volume, particles = case
    parameters = _parameters()
    start = start_refinement(particles, volume, parameters)
    known = next(iter(refine(particles, start, parameters)))
    right = angular_distance_deg(known.rotation, particles.rotation, OPERATORS) < 15
    turned = torch.zeros(N, dtype=torch.bool)
    turned[torch.arange(0, N, N // TURNED)] = True
    rotation = known.rotation.clone()
    rotation[turned] = random_rotations(int(turned.sum()), torch.Generator().manual_seed(5))
    thrown = replace(
        _local(known), rotation=rotation, best_probability=torch.ones_like(known.best_probability)
    )
    # Poses stay where they were thrown for one iteration, in which their gain shows it.
    quiet = replace(thrown, log_gain=torch.ones(N).double(), log_gain_expected=torch.ones(N).double())
    seen = _local(next(iter(refine(particles, quiet, parameters))))
    flagged = searched_particles(seen)
    # By chance nobody is flagged; in so weak images some wrong poses explain nearly as much as the right one.
    assert flagged[turned].double().mean() > 0.6
    assert flagged[~turned].double().mean() < 0.3
    back = next(iter(refine(particles, seen, parameters)))
    error = angular_distance_deg(back.rotation, particles.rotation, OPERATORS)
    assert (error < 15)[turned].double().mean() > 0.6 * right.double().mean()


def test_images_without_a_particle_do_not_enter_the_map(case) -> None:  # type: ignore[no-untyped-def]
    volume, particles = case
    empty = np.arange(N) % 4 == 0
    noise = np.random.default_rng(0)

    def read(rows):  # type: ignore[no-untyped-def]
        images = particles.read_images(rows).copy()
        spread = images.std()
        images[empty[rows]] = noise.normal(0, spread, images[empty[rows]].shape)
        return images

    mixed = replace(particles, read_images=read)
    parameters = replace(_parameters(), max_iterations=3)
    start = start_refinement(mixed, low_pass(volume, 12.0, PIXEL_ANGSTROM), parameters)
    end = list(refine(mixed, start, parameters))[-1]
    without = end.log_gain <= 0
    shows = torch.from_numpy(~empty)
    # Noise fits some view by chance, so that not every empty image gains nothing; hardly a particle may be lost.
    assert without[shows].double().mean() < 0.02
    assert without[~shows].double().mean() > 0.5


def test_images_that_no_model_fits_are_all_kept(case) -> None:  # type: ignore[no-untyped-def]
    """Of inverted images no positive scale fits; then nothing tells particles from noise, and none may be left out."""
    volume, particles = case
    pixels = make_pixel_list(BOX_PX, 12)
    reference = volume_transform(volume, r_max_px=12)
    rotation, n = particles.rotation[:20], 20
    slices = slice_volume(reference, rotation, pixels)
    shift_px = torch.zeros(n, 2, dtype=torch.float64)
    number = torch.zeros(n, dtype=torch.int64)
    batch = Batch(torch.arange(n), number, -slices, torch.ones(n, len(pixels)))
    poses = BatchPoses(torch.arange(n), rotation, shift_px, torch.ones(n, dtype=torch.float64))
    sigma2 = torch.ones(13, dtype=torch.float64)
    sums = EnvelopeSums.zeros(1, 13, torch.device("cpu"))
    inverted = compare_with_models(batch, poses, reference, (sigma2, pixels), sums)
    assert (inverted.log_gain == 0).all()
    right = compare_with_models(replace(batch, coefficients=slices), poses, reference, (sigma2, pixels), sums)
    assert torch.allclose(right.log_gain, right.log_gain_expected)
    assert (right.log_gain > 0).all()
