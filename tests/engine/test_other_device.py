"""Every kernel that has a path of its own on CUDA gives there what it gives on the CPU, and every stage runs there.

Without a GPU they run on a pretended one, which is as strict about devices but rounds like the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from cryocloud.engine.abinitio import AbInitioParameters, load_observations, reconstruct, start_ab_initio
from cryocloud.engine.alignment.direct import Prior, ScoringImages, direct_posterior, reference_table
from cryocloud.engine.alignment.local_pose import Observations, refine_local_poses
from cryocloud.engine.alignment.polar import (
    make_polar_grid,
    polar_image_samples,
    polar_posterior,
    polar_references,
    prepare_polar,
)
from cryocloud.engine.alignment.sample_sums import sums_of_samples
from cryocloud.engine.classification import ClassificationParameters, classify, start_classification
from cryocloud.engine.fourier import fourier_crop, image_coefficients, make_pixel_list, phase_ramps
from cryocloud.engine.fourier.plane import plane_grid, plane_taps, sample_plane
from cryocloud.engine.fourier.space import sample_space, space_grid
from cryocloud.engine.geometry import random_rotations, shift_grid, symmetry_operators
from cryocloud.engine.reconstruction import Accumulator, slice_volume, solve, volume_transform
from cryocloud.engine.refinement import RefinementParameters, combined_map, refine, start_refinement
from pretended_cuda import pretended_cuda
from simulated_objects import SimulatedParticles

BOX, R_MAX = 24, 10
# Of the largest value, or of 1: sums of some thousand float32 products in another order, and slopes of a trilinear
# interpolation, which jump where rounding carries a point into the next cell.
ROUNDING = 5e-3
CORRELATION = (
    0.99  # of a stage's result: a rounding error may move a few samples from one grid point to the next
)


@pytest.fixture(params=["cuda", "pretended"])
def other_device(request: pytest.FixtureRequest) -> Iterator[str]:
    here = torch.cuda.is_available()
    if request.param == "cuda":
        if not here:
            pytest.skip("no CUDA device here")
        yield "cuda"
        return
    if here:
        pytest.skip("the real device is here")
    with pretended_cuda():
        yield "cuda"


class Scene:
    """A few slices of blobs with noise, all on one device."""

    def __init__(self, device: str, volume: Tensor) -> None:
        generator = torch.Generator().manual_seed(3)
        self.device = device
        self.volume = volume.to(device)
        self.pixels = make_pixel_list(BOX, R_MAX).to(device)
        self.rotation = random_rotations(40, generator).to(device)
        self.transform = volume_transform(self.volume, r_max_px=R_MAX)
        self.slices = slice_volume(self.transform, self.rotation, self.pixels)
        self.power = torch.ones(6, len(self.pixels), device=device)
        noise = torch.randn(6, len(self.pixels), generator=generator, dtype=torch.complex64).to(device)
        self.images = ScoringImages(self.slices[:6] + 0.1 * self.slices.abs().mean() * noise, self.power)
        self.shift_px = shift_grid(1.5, 1.0).to(device)
        self.ramps = phase_ramps(self.shift_px, self.pixels)
        self.pictures = torch.randn(6, BOX, BOX, generator=generator).to(device)
        self.sigma2 = torch.ones(R_MAX + 1, dtype=torch.float64, device=device)

    def flat(self, n: int) -> Prior:
        return Prior(torch.zeros(n, device=self.device), torch.zeros(len(self.shift_px), device=self.device))


def slices(scene: Scene) -> tuple[Tensor, ...]:
    return (scene.slices,)


def symmetric_map(scene: Scene) -> tuple[Tensor, ...]:
    accumulator = Accumulator(BOX, R_MAX, device=scene.device)
    weight = torch.ones(scene.slices.shape, device=scene.device)
    accumulator.insert(scene.slices, weight, scene.rotation, scene.pixels)
    return (
        accumulator.numerator,
        accumulator.weight,
        solve(accumulator, operators=symmetry_operators("D2"), compensation_iterations=3),
    )


def direct_score(scene: Scene) -> tuple[Tensor, ...]:
    table = reference_table(scene.slices)
    samples = direct_posterior(scene.images, table, scene.ramps, scene.flat(len(scene.slices)))
    sums = sums_of_samples(scene.images, samples, scene.ramps)
    best = samples.best()
    return samples.reference[best], samples.shift[best], samples.log_evidence, sums.data, sums.weight


def polar_score(scene: Scene) -> tuple[Tensor, ...]:
    grid = make_polar_grid(BOX, R_MAX, 12, object_radius_px=8.0, image_radius_px=10.0, device=scene.device)
    views = slice_volume(scene.transform, scene.rotation[:5], grid.points)
    references = polar_references(views, scene.shift_px.cpu(), grid)
    transfer = torch.ones(6, len(grid.points), device=scene.device)
    images = prepare_polar(polar_image_samples(scene.pictures, grid), transfer, scene.sigma2, grid)
    samples = polar_posterior(images, references, grid, scene.flat(5))
    best = samples.best()
    return samples.reference[best], samples.shift[best], samples.log_evidence


def local_poses(scene: Scene) -> tuple[Tensor, ...]:
    scale = float(scene.slices.abs().mean())
    reference = volume_transform(scene.volume / scale, r_max_px=R_MAX)
    observed = Observations(scene.images.weighted / scale, scene.power, scene.sigma2, scene.pixels)
    image = torch.arange(6, device=scene.device)
    start = torch.zeros(6, 2, dtype=torch.float64, device=scene.device)
    found = refine_local_poses(
        reference, observed, image, scene.rotation[:6], start, n_steps=2, sigma_shift_px=2.0
    )
    return found.rotation, found.shift_px, found.misfit, found.normal


def between_grid_points(scene: Scene) -> tuple[Tensor, ...]:
    kx, ky = 0.7 * scene.pixels.kx, 0.7 * scene.pixels.ky
    points = torch.stack([kx, ky, 0.1 * kx], 1)
    return (
        sample_plane(plane_grid(scene.pictures, R_MAX), plane_taps(kx, ky, R_MAX)),
        sample_space(space_grid(scene.volume, R_MAX), scene.rotation[:4], points),
    )


def cropped(scene: Scene) -> tuple[Tensor, ...]:
    return fourier_crop(scene.pictures, 16), image_coefficients(scene.pictures, scene.pixels)


KERNELS = (slices, symmetric_map, direct_score, polar_score, local_poses, between_grid_points, cropped)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_give_what_the_cpu_gives(
    kernel: Callable[[Scene], tuple[Tensor, ...]], other_device: str, blob_volume: Callable[..., Tensor]
) -> None:
    volume = blob_volume(box_size_px=BOX)
    found, expected = kernel(Scene(other_device, volume)), kernel(Scene("cpu", volume))
    for value, wanted in zip(found, expected, strict=True):
        assert value.device.type == other_device
        scale = max(1.0, float(wanted.abs().max()))  # shifts are in px, near 0
        torch.testing.assert_close(value.cpu(), wanted, atol=ROUNDING * scale, rtol=0)


def class_averages(simulated: SimulatedParticles, device: str) -> Tensor:
    parameters = ClassificationParameters(
        n_classes=2, mask_diameter_angstrom=60.0, updates=1, full_passes=1, device=device
    )
    state = start_classification(simulated.particles, parameters)
    *_, state = classify(simulated.particles, state, parameters)
    return state.averages


def first_map(simulated: SimulatedParticles, device: str) -> Tensor:
    parameters = AbInitioParameters(
        mask_diameter_angstrom=60.0,
        operators=symmetry_operators("C2"),
        n_updates=1,
        n_passes=1,
        max_starts=2,
        first_batch=30,
        last_batch=30,
        last_resolution_angstrom=25.0,
        device=torch.device(device),
    )
    observations = load_observations(simulated.particles, parameters)
    state = start_ab_initio(observations, parameters)
    *_, state = reconstruct(observations, state, parameters)
    return observations.full_size(state.solution.volumes[0])


def refined_map(simulated: SimulatedParticles, device: str) -> Tensor:
    parameters = RefinementParameters(
        mask_diameter_angstrom=60.0,
        operators=symmetry_operators("D2"),
        max_iterations=2,
        max_orientations=100,
        device=torch.device(device),
    )
    state = start_refinement(simulated.particles, simulated.volume, parameters)
    *_, state = refine(simulated.particles, state, parameters)
    return combined_map(state)


@pytest.mark.parametrize(
    "stage", [class_averages, pytest.param(first_map, marks=pytest.mark.slow), refined_map]
)
def test_stages_give_what_the_cpu_gives(
    stage: Callable[..., Tensor],
    other_device: str,
    blob_volume: Callable[..., Tensor],
    simulated_particles: Callable[..., SimulatedParticles],
) -> None:
    simulated = simulated_particles(blob_volume("D2", box_size_px=BOX), 80, snr=1.0)
    found, expected = stage(simulated, other_device), stage(simulated, "cpu")
    assert found.device.type == other_device
    pair = torch.stack([found.cpu().flatten(), expected.flatten()])
    assert float(torch.corrcoef(pair)[0, 1]) > CORRELATION
