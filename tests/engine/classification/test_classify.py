from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cryocloud.engine.classification import (
    ClassificationParameters,
    ClassificationState,
    classify,
    expectation,
    start_classification,
)
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.fourier.plane import plane_grid, plane_taps, sample_plane
from cryocloud.engine.geometry import euler_from_rotation
from cryocloud.engine.optics import ctf
from cryocloud.engine.records.particle_set import ParticleSet


def _purity(class_index: Tensor, view: Tensor) -> float:
    """Share of particles that belong to the commonest label of their class."""
    agreeing = sum(
        int(torch.bincount(view[class_index == k] + 1).max()) for k in class_index.unique().tolist()
    )
    return agreeing / len(view)


def _finish(particles: ParticleSet, parameters: ClassificationParameters) -> ClassificationState:
    start = start_classification(particles, parameters)
    return list(classify(particles, start, parameters))[-1]


def _equal(a: ClassificationState, b: ClassificationState) -> bool:
    return (
        torch.equal(a.averages, b.averages)
        and torch.equal(a.sums.numerator, b.sums.numerator)
        and torch.equal(a.assignments.class_index, b.assignments.class_index)
        and torch.equal(a.assignments.shift_px, b.assignments.shift_px)
        and torch.equal(a.sigma2, b.sigma2)
    )


def test_views_and_junk_are_told_apart(finished: Any) -> None:
    """The bar of the design, at a third of its particles per class."""
    assert _purity(finished.states[-1].assignments.class_index, finished.labelled.view) >= 0.9


def test_every_particle_is_assigned_once(finished: Any) -> None:
    last = finished.states[-1]
    assert (last.assignments.class_index >= 0).all()
    assert last.occupancy_history.shape == (13, 12)
    torch.testing.assert_close(last.occupancy_history.sum(1), torch.ones(13, dtype=torch.float64))


def test_poses_within_a_class_agree_with_the_truth_up_to_one_rotation(finished: Any) -> None:
    """The in-plane angle of RELION's convention: psi_found - psi_true is the same for all of a view's images."""
    found = finished.states[-1].assignments
    particles, view = finished.labelled.particles, finished.labelled.view
    _, _, psi_deg = euler_from_rotation(particles.rotation)
    errors = []
    for k in range(12):
        members = ((found.class_index == k) & (view >= 0)).nonzero()[:, 0]
        if len(members) < 20:
            continue
        members = members[view[members] == view[members].mode().values]
        difference = torch.deg2rad(found.psi_deg[members] - psi_deg[members])
        turns = torch.polar(torch.ones_like(difference), difference)
        errors.append(torch.rad2deg(torch.angle(turns * turns.mean().conj())).abs())
    # Steps of the fine grid are 5 degrees; measured 2.3 degrees.
    assert torch.cat(errors).quantile(0.68) < 4.0


def test_averages_are_models_of_their_particles(finished: Any) -> None:
    """Turned, moved and multiplied by the CTF, a class average is each particle's image without its noise."""
    last, labelled = finished.states[-1], finished.labelled
    for k in range(12):
        members = ((last.assignments.class_index == k) & (labelled.view >= 0)).nonzero()[:, 0][:60]
        if len(members) < 40:
            continue
        images = torch.from_numpy(labelled.particles.read_images(members.numpy())).flatten(1)
        models = torch.stack([_model(labelled.particles, last, row, k) for row in members.tolist()]).flatten(
            1
        )
        correlation = (images * models).mean() / (images**2).mean().sqrt() / (models**2).mean().sqrt()
        # A clean image correlates with its noisy self to sqrt(0.1 / 1.1) = 0.30; averages are not perfect.
        assert correlation > 0.22
        # Gray values: the factor that fits models to images. The Wiener filter leaves averages a little low,
        # noise of 40 to 60 images is 0.02.
        assert 0.85 < (images * models).mean() / (models**2).mean() < 1.15


def _model(particles: ParticleSet, state: ClassificationState, row: int, k: int) -> Tensor:
    found = state.assignments
    pixels = make_pixel_list(state.averages.shape[-1], 20)
    psi = torch.deg2rad(found.psi_deg[row]).float()
    kx = torch.cos(psi) * pixels.kx - torch.sin(psi) * pixels.ky
    ky = torch.sin(psi) * pixels.kx + torch.cos(psi) * pixels.ky
    turned = sample_plane(plane_grid(state.averages[k, None], 20), plane_taps(kx, ky, 20))
    moved = turned * phase_ramps(-found.shift_px[row, None], pixels)
    transfer = ctf(particles.ctf.select(torch.tensor([row])), pixels, particles.pixel_size_angstrom)
    return coefficients_to_images(moved * transfer, pixels)[0]


def test_noise_variance_is_found(finished: Any, simulated_particles: Any, blob_volume: Any) -> None:
    """White noise at SNR 0.1: its variance is 10 times that of the clean images; junk has some more."""
    clean_variance = simulated_particles(blob_volume(), 100, snr=1.0).clean.var()
    sigma2 = finished.states[-1].sigma2[3:]
    assert (sigma2 / (10 * clean_variance) - 1).abs().mean() < 0.1


def test_a_stored_state_continues_as_if_never_interrupted(finished: Any) -> None:
    particles, parameters = finished.labelled.particles, finished.parameters
    resumed = list(classify(particles, finished.states[-3], parameters))
    assert len(resumed) == 2
    assert _equal(resumed[-1], finished.states[-1])


def test_another_seed_gives_another_start(finished: Any) -> None:
    particles = finished.labelled.particles
    first, second = (
        start_classification(particles, replace(finished.parameters, seed=seed)).averages for seed in (1, 2)
    )
    assert not torch.equal(first, second)


@pytest.mark.parametrize("polar", [False, True])
def test_both_scores_serve(
    labelled_particles: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, polar: bool
) -> None:
    monkeypatch.setattr(expectation, "polar_is_faster", lambda *_: polar)
    labelled = labelled_particles(300, n_views=3, snr=0.2, junk_share=0.0, seed=3)
    parameters = ClassificationParameters(6, 115.0, updates=6, full_passes=1)
    state = _finish(labelled.particles, parameters)
    assert _purity(state.assignments.class_index, labelled.view) >= 0.95


def test_large_boxes_are_worked_on_at_the_size_that_the_resolution_needs(
    labelled_particles: Callable[..., Any],
) -> None:
    labelled = labelled_particles(60, n_views=2, snr=0.5)
    parameters = ClassificationParameters(3, 115.0, max_resolution_angstrom=12.0, updates=1, full_passes=1)
    state = start_classification(labelled.particles, parameters)
    # 48 px of 3 A hold 12 rings up to 12 A: 26 px, rounded up to the next quick size.
    assert state.averages.shape == (3, 30, 30)


def test_empty_classes_are_seeded_again(labelled_particles: Callable[..., Any]) -> None:
    """Ten classes for one view: without new seeds most would starve."""
    labelled = labelled_particles(300, n_views=1, snr=0.2, junk_share=0.0, seed=5)
    parameters = ClassificationParameters(10, 115.0, updates=8, full_passes=0)
    state = _finish(labelled.particles, parameters)
    assert (state.sums.occupancy.sum(0) > 0).all()


def test_centers_follow_the_particles(labelled_particles: Callable[..., Any]) -> None:
    """All images displaced by 4 px: recentered averages stand in the middle, others stay where they are."""
    labelled = labelled_particles(300, n_views=2, snr=0.5, junk_share=0.0, seed=6)
    read = labelled.particles.read_images
    moved = replace(labelled.particles, read_images=lambda rows: _rolled(read(rows), 4))
    offset_px = {}
    for recenter in (True, False):
        parameters = ClassificationParameters(2, 100.0, updates=6, full_passes=1, recenter=recenter)
        state = _finish(moved, parameters)
        offset_px[recenter] = float(_center_of_mass(state.averages).norm(dim=1).mean())
    assert offset_px[True] < 1.5
    assert offset_px[False] > offset_px[True]


def test_halves_do_not_depend_on_the_order_of_the_table(labelled_particles: Callable[..., Any]) -> None:
    """Two views in turn: were halves made of odd and even rows, no class would have two halves to compare."""
    labelled = labelled_particles(400, n_views=2, snr=0.2, junk_share=0.0, seed=7)
    first, second = ((labelled.view == v).nonzero()[:, 0][:150] for v in (0, 1))
    order = torch.stack([first, second], 1).flatten()
    read = labelled.particles.read_images
    particles = replace(
        labelled.particles,
        read_images=lambda rows: read(order.numpy()[rows]),
        ctf=labelled.particles.ctf.select(order),
        rotation=labelled.particles.rotation[order],
        shift_px=labelled.particles.shift_px[order],
    )
    state = _finish(particles, ClassificationParameters(2, 115.0, updates=6, full_passes=1))
    assert _purity(state.assignments.class_index, labelled.view[order]) >= 0.95
    assert (state.frc[:, 2:8] > 0.5).all()


def _rolled(images: Any, by_px: int) -> Any:
    return np.ascontiguousarray(np.roll(images, by_px, axis=2))


def _center_of_mass(averages: Tensor) -> Tensor:
    mass = (averages - 0.3 * averages.amax((1, 2), keepdim=True)).clamp(min=0)
    line = torch.arange(averages.shape[-1]) - averages.shape[-1] // 2
    total = mass.sum((1, 2))
    return torch.stack([(mass.sum(1) * line).sum(1) / total, (mass.sum(2) * line).sum(1) / total], 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (ClassificationParameters(40, 115.0), r"60 particles are too few for 40 classes.*at most 30"),
        (ClassificationParameters(3, 150.0), r"mask of 150 Å is wider than the box of 144 Å"),
    ],
)
def test_bad_input_is_refused(
    labelled_particles: Callable[..., Any], parameters: ClassificationParameters, message: str
) -> None:
    labelled = labelled_particles(60, n_views=2, snr=0.5)
    with pytest.raises(InputError, match=message):
        start_classification(labelled.particles, parameters)
