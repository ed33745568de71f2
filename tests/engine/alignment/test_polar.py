from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from cryocloud.engine.alignment.direct import (
    PoseSamples,
    Prior,
    direct_posterior,
    prepare_scoring,
    reference_table,
)
from cryocloud.engine.alignment.polar import (
    PolarReferences,
    make_polar_grid,
    polar_image_samples,
    polar_is_faster,
    polar_posterior,
    polar_references,
    prepare_polar,
)
from cryocloud.engine.fourier import image_coefficients, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import rotation_from_euler, shift_grid
from cryocloud.engine.masking import soft_circle
from cryocloud.engine.optics import ctf
from cryocloud.engine.reconstruction import slice_volume, volume_transform

BOX_PX, R_MAX_PX, N_PSI, PIXEL_A = 48, 16, 36, 3.0


@dataclass(frozen=True)
class Scene:
    """Noisy images of one volume, 12 views of it, and the polar posterior's ingredients."""

    sim: Any
    views: Tensor
    view_of_image: Tensor
    psi_deg: Tensor
    references: PolarReferences

    def rotations(self) -> Tensor:
        """[v * n_psi, 3, 3]: the rotation of every (view, angle)."""
        zero = torch.zeros(N_PSI, dtype=torch.float64)
        turns = rotation_from_euler(zero, zero, self.references.psi_deg)
        return torch.einsum("vij,pjk->vpik", self.views, turns).reshape(-1, 3, 3)


def _scene(
    blob_volume: Any, simulated_particles: Any, *, snr: float, offset_deg: float = 0.0, n_images: int = 120
) -> Scene:
    generator = torch.Generator().manual_seed(4)
    volume = blob_volume(box_size_px=BOX_PX)
    angles = torch.rand(3, 12, generator=generator, dtype=torch.float64) * 180
    views = rotation_from_euler(angles[0], angles[1], angles[2])
    view_of_image = torch.randint(12, (n_images,), generator=generator)
    psi_deg = torch.rand(n_images, generator=generator, dtype=torch.float64) * 360
    zero = torch.zeros(n_images, dtype=torch.float64)
    rotation = views[view_of_image] @ rotation_from_euler(zero, zero, psi_deg)
    sim = simulated_particles(volume, n_images, rotation=rotation, snr=snr, max_shift_px=1.4, seed=5)
    grid = _grid()
    transform = volume_transform(volume, r_max_px=R_MAX_PX)
    references = polar_references(
        slice_volume(transform, views, grid.points), shift_grid(2.0, 1.0), grid, psi_offset_deg=offset_deg
    )
    return Scene(sim, views, view_of_image, psi_deg, references)


def _grid() -> Any:
    return make_polar_grid(BOX_PX, R_MAX_PX, N_PSI, object_radius_px=22.0, image_radius_px=22.0)


def _sigma2(scene: Scene) -> Tensor:
    return torch.full((R_MAX_PX + 1,), scene.sim.noise_variance, dtype=torch.float64)


def _polar(scene: Scene, *, beta: float = 1.0, max_samples: int = 500, mass: float = 0.999) -> PoseSamples:
    grid = _grid()
    particles = scene.sim.particles
    images = scene.sim.images * soft_circle(BOX_PX, 19.0, 4.0)
    prepared = prepare_polar(
        polar_image_samples(images, grid), ctf(particles.ctf, grid.points, PIXEL_A), _sigma2(scene), grid
    )
    prior = Prior(torch.zeros(12), torch.zeros(scene.references.n_shifts), beta)
    return polar_posterior(prepared, scene.references, grid, prior, max_samples=max_samples, mass=mass)


def _direct(scene: Scene, *, beta: float = 1.0, max_samples: int = 500, mass: float = 0.999) -> PoseSamples:
    """The direct posterior over every (view, angle) and every shift that the polar one may name."""
    pixels = make_pixel_list(BOX_PX, R_MAX_PX)
    particles = scene.sim.particles
    images = scene.sim.images * soft_circle(BOX_PX, 19.0, 4.0)
    transform = volume_transform(scene.sim.volume, r_max_px=R_MAX_PX)
    rotations = scene.rotations()
    table = reference_table(slice_volume(transform, rotations, pixels))
    prepared = prepare_scoring(
        image_coefficients(images, pixels), ctf(particles.ctf, pixels, PIXEL_A), _sigma2(scene), pixels
    )
    shifts = scene.references.shift_px
    prior = Prior(torch.zeros(len(rotations)), torch.zeros(len(shifts)), beta)
    ramps = phase_ramps(shifts, pixels)
    return direct_posterior(prepared, table, ramps, prior, max_samples=max_samples, mass=mass)


def test_scores_differ_from_direct_ones_by_at_most_4_percent_of_their_spread(
    blob_volume: Any, simulated_particles: Any
) -> None:
    """The bar of the design. Both score the same poses, at a temperature that keeps all of them."""
    scene = _scene(blob_volume, simulated_particles, snr=0.1, n_images=6)
    beta = 1e-3
    n_polar = 12 * N_PSI * scene.references.n_shifts
    polar = _polar(scene, beta=beta, max_samples=n_polar, mass=1.0)
    direct = _direct(scene, beta=beta, max_samples=n_polar * N_PSI, mass=1.0)
    n_shifts = len(scene.references.shift_px)

    def key(samples: PoseSamples) -> Tensor:
        return (samples.image * 12 * N_PSI + samples.reference) * n_shifts + samples.shift

    def score(samples: PoseSamples) -> Tensor:
        return (torch.log(samples.weight.double()) + samples.log_evidence[samples.image]) / beta

    order = torch.argsort(key(direct))
    place = torch.searchsorted(key(direct)[order], key(polar))
    match = order[place.clamp(max=len(order) - 1)]
    found = key(direct)[match] == key(polar)
    assert found.float().mean() > 0.99
    difference = (score(direct)[match] - score(polar))[found]
    assert difference.std() <= 0.04 * score(direct).std()


def test_best_pose_is_that_of_the_direct_score(blob_volume: Any, simulated_particles: Any) -> None:
    """At least 97 % of the images, the bar of the design."""
    scene = _scene(blob_volume, simulated_particles, snr=0.1)
    polar, direct = _polar(scene), _direct(scene)
    a, b = polar.best(), direct.best()
    same_view = polar.reference[a] // N_PSI == direct.reference[b] // N_PSI
    turn = (polar.reference[a] - direct.reference[b]) % N_PSI
    near = (turn <= 1) | (turn >= N_PSI - 1)
    # The direct score may also take shifts of another angle's list: up to one step of the lattice away.
    shifts = scene.references.shift_px
    shift_error = (shifts[polar.shift[a]] - shifts[direct.shift[b]]).norm(dim=1)
    assert (same_view & near & (shift_error <= 1.0)).float().mean() >= 0.97


@pytest.mark.parametrize("offset_deg", [0.0, 3.7])
def test_poses_of_clean_images_are_found_to_the_grid(
    blob_volume: Any, simulated_particles: Any, offset_deg: float
) -> None:
    scene = _scene(blob_volume, simulated_particles, snr=2.0, offset_deg=offset_deg, n_images=60)
    samples = _polar(scene)
    best = samples.best()
    psi_deg = scene.references.psi_deg[samples.reference[best] % N_PSI]
    turn_deg = (psi_deg - scene.psi_deg + 180) % 360 - 180
    shift_error = scene.references.shift_px[samples.shift[best]] - scene.sim.particles.shift_px
    assert (samples.reference[best] // N_PSI == scene.view_of_image).all()
    # Half a step of the angles is 5 degrees, half a diagonal of the shifts 0.71 px; noise may tip a few.
    assert turn_deg.abs().quantile(0.95) <= 180 / N_PSI + 0.5
    assert shift_error.norm(dim=1).quantile(0.9) <= math.sqrt(0.5) + 0.1


def test_weights_of_an_image_sum_to_one(blob_volume: Any, simulated_particles: Any) -> None:
    samples = _polar(_scene(blob_volume, simulated_particles, snr=0.05, n_images=20))
    sums = torch.zeros(20).index_add_(0, samples.image, samples.weight)
    torch.testing.assert_close(sums, torch.ones(20))


def test_an_odd_number_of_angles_is_refused() -> None:
    with pytest.raises(ValueError, match="must be even and at least 8, got 35"):
        make_polar_grid(BOX_PX, R_MAX_PX, 35, object_radius_px=20.0, image_radius_px=20.0)


def test_the_choice_of_score_follows_the_work() -> None:
    assert not polar_is_faster("cpu", n_scores=1000, n_pixels=200)
    assert polar_is_faster("cpu", n_scores=50 * 72 * 21, n_pixels=1500)
    assert not polar_is_faster("cuda", n_scores=50 * 72 * 21, n_pixels=1500)
