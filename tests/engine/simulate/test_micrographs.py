"""Micrographs and movies: what they show, where, how strongly, and how it moves and fades."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import coefficients_to_images, make_pixel_list, phase_ramps
from cryocloud.engine.fourier.space import sample_space, space_grid
from cryocloud.engine.optics import ctf
from cryocloud.engine.simulate.damage import critical_dose_e_per_angstrom2, remaining_amplitude
from cryocloud.engine.simulate.micrographs import MicrographImager, MicrographRecipe
from cryocloud.engine.simulate.microscope import DefocusRange, Microscope, Views
from cryocloud.engine.simulate.movies import MotionRecipe, MotionTruth, draw_motion, movie_frames
from cryocloud.engine.simulate.objects import map_diameter_px

PIXEL_SIZE_ANGSTROM = 3.0
HEIGHT_PX, WIDTH_PX = 300, 360
RECIPE = MicrographRecipe(
    height_px=HEIGHT_PX,
    width_px=WIDTH_PX,
    particles=20,
    distance_px=30.0,
    snr=0.3,
    dose_e_per_angstrom2=40.0,
    microscope=Microscope(300.0, 2.7, 0.1, 30.0),
    defocus=DefocusRange(10000.0, 20000.0, 500.0),
    views=Views(0.0, 15.0),
    ice_share=0.2,
    thickness_slope=0.1,
    lumps=0.0,
    seed=5,
)


def _imager(volume: Tensor, **changes: object) -> MicrographImager:
    return MicrographImager(volume, replace(RECIPE, **changes), PIXEL_SIZE_ANGSTROM)  # type: ignore[arg-type]


def test_particles_keep_their_distance_and_number(dimer_map: Tensor) -> None:
    truth = _imager(dimer_map).truth(0)
    inside = truth.inside(HEIGHT_PX, WIDTH_PX)
    assert inside.sum() == pytest.approx(RECIPE.particles, abs=8)
    offset = truth.center_px[:, None] - truth.center_px[None]
    distance = np.hypot(*offset.transpose(2, 0, 1)) + 1e6 * np.eye(len(offset))
    assert distance.min() >= RECIPE.distance_px


def test_crowded_micrographs_hold_as_many_as_fit(dimer_map: Tensor) -> None:
    truth = _imager(dimer_map, particles=5000).truth(0)
    assert 50 < len(truth.center_px) < 400


def test_boxes_at_the_true_places_show_the_true_views_dark_on_bright(dimer_map: Tensor) -> None:
    imager = _imager(dimer_map, dose_e_per_angstrom2=40.0, snr=2.0, ice_share=0.05)
    truth = imager.truth(1)
    micrograph = imager.micrograph(1, truth).numpy()
    box = dimer_map.shape[-1]
    pixels = make_pixel_list(box, box // 2 - 1)
    plane = torch.stack([pixels.kx, pixels.ky, torch.zeros_like(pixels.kx)], 1)
    corner = np.round(truth.center_px).astype(int) - box // 2
    whole = ((corner >= 0) & (corner + box <= [WIDTH_PX, HEIGHT_PX])).all(1)
    correlation = []
    for row in np.flatnonzero(whole):
        x, y = corner[row]
        shift = torch.from_numpy(truth.center_px[row] - corner[row] - box // 2)[None]
        view = sample_space(space_grid(dimer_map, box // 2 - 1), truth.rotation[row : row + 1], plane)
        view = view * ctf(truth.ctf, pixels, PIXEL_SIZE_ANGSTROM) * phase_ramps(shift, pixels)
        expected = coefficients_to_images(view, pixels)[0].numpy()
        seen = micrograph[y : y + box, x : x + box]
        correlation.append(np.corrcoef(-seen.ravel(), expected.ravel())[0, 1])
    # At SNR 2 a perfect model correlates by sqrt(2/3) = 0.8; neighbors in the box and damage cost some.
    assert len(correlation) > 5
    assert np.median(correlation) > 0.7


def test_counts_are_poisson_and_signal_is_as_strong_as_asked(dimer_map: Tensor) -> None:
    empty = _imager(dimer_map, particles=0, thickness_slope=0.0)
    counts = empty.micrograph(0, empty.truth(0)).numpy()
    electrons = 40.0 * PIXEL_SIZE_ANGSTROM**2
    assert np.array_equal(counts, np.round(counts))
    assert counts.mean() == pytest.approx(electrons, rel=0.01)
    # Counting gives 1/N; ice adds its share of the noise variance.
    assert counts.var() / electrons**2 == pytest.approx(1 / electrons / 0.8, rel=0.03)
    bright = _imager(dimer_map, particles=10, ice_share=0.0, thickness_slope=0.0, snr=3.0)
    truth = bright.truth(0)
    contrast = 1 - bright.micrograph(0, truth).numpy() / bright.electrons_px
    box = dimer_map.shape[-1]
    # Each particle brings snr * noise variance over its box; whatever lies around the micrograph reaches in a little.
    share = truth.inside(HEIGHT_PX, WIDTH_PX).sum() * box**2 / (HEIGHT_PX * WIDTH_PX)
    signal = contrast.var() - 1 / bright.electrons_px
    assert signal == pytest.approx(share * 3.0 * bright.noise_variance, rel=0.3)


def test_micrographs_depend_on_seed_and_number_alone(dimer_map: Tensor) -> None:
    first, again = (_imager(dimer_map) for _ in range(2))
    again.micrograph(0, again.truth(0))
    one, two = first.micrograph(1, first.truth(1)), again.micrograph(1, again.truth(1))
    assert torch.equal(one, two)
    assert not torch.equal(one, first.micrograph(2, first.truth(2)))


def test_contamination_is_dark_and_particles_keep_away(dimer_map: Tensor) -> None:
    imager = _imager(dimer_map, lumps=4.0, thickness_slope=0.0)
    number, truth = next((n, t) for n in range(20) if len((t := imager.truth(n)).lumps) >= 2)
    micrograph = imager.micrograph(number, truth).numpy()
    for lump in truth.lumps:
        x, y = round(lump.x_px), round(lump.y_px)
        if 10 < x < WIDTH_PX - 10 and 10 < y < HEIGHT_PX - 10:
            assert micrograph[y - 3 : y + 4, x - 3 : x + 4].mean() < 0.97 * np.median(micrograph)
        assert not any(lump.covers(center, 0.0) for center in truth.center_px)


def test_a_map_larger_than_the_micrograph_is_refused(dimer_map: Tensor) -> None:
    with pytest.raises(InputError, match="make the micrograph larger"):
        _imager(dimer_map, height_px=40)


def test_the_diameter_of_a_ball_is_found() -> None:
    line = torch.arange(64) - 32.0
    radius = (line[:, None, None] ** 2 + line[:, None] ** 2 + line**2).sqrt()
    # A uniform ball holds 98 % of its variance within 0.993 of its radius.
    assert map_diameter_px((radius < 20).float() + 5.0) == pytest.approx(40, abs=2)


def test_critical_doses_are_those_published() -> None:
    dose = critical_dose_e_per_angstrom2(np.array([1 / 3, 1 / 10]), 300.0)
    # Grant & Grigorieff 2015, equation 3, at 3 and 10 A.
    assert dose == pytest.approx([4.340, 14.139], rel=1e-3)
    assert critical_dose_e_per_angstrom2(np.array([0.1]), 200.0) == pytest.approx([0.8 * 14.139], rel=1e-3)


def test_remaining_amplitude_averages_the_decay() -> None:
    frequency = np.array([0.0, 0.1, 0.3])
    fine = [remaining_amplitude(frequency, dose, dose + 0.01, 300.0) for dose in np.arange(0, 40, 0.01)]
    assert remaining_amplitude(frequency, 0.0, 40.0, 300.0) == pytest.approx(np.mean(fine, 0), rel=1e-6)
    assert fine[0] == pytest.approx([1, 1, 1], abs=2e-3)
    # At its critical dose the amplitude has fallen by exp(-1/2).
    at = remaining_amplitude(np.array([0.1]), 14.139, 14.1391, 300.0)
    assert at == pytest.approx([np.exp(-0.5)], rel=1e-3)


def _displacement(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Shift (x, y) of an image against a reference, by their cross-correlation, to a fraction of a pixel."""
    power = np.fft.rfft2(image - image.mean()) * np.fft.rfft2(reference - reference.mean()).conj()
    height, width = image.shape
    sy, sx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    best = max(
        ((x, y) for x in np.arange(-1, 6.01, 0.25) for y in np.arange(-3, 4.01, 0.25)),
        key=lambda s: float((power * np.exp(2j * np.pi * (sx * s[0] + sy * s[1]))).real.sum()),
    )
    return np.array(best)


def test_frames_move_as_the_truth_says(dimer_map: Tensor) -> None:
    imager = _imager(dimer_map, dose_e_per_angstrom2=4000.0, snr=2.0, thickness_slope=0.0)
    truth = imager.truth(0)
    drift = np.array([[0.0, 0.0], [3.0, -1.5], [4.0, 2.0]])
    motion = MotionTruth(drift, np.array([0.0, 0.5, 1.0]), 2.0, (180.0, 150.0))
    frames = list(movie_frames(imager, 0, truth, motion))
    for frame in (1, 2):
        for rows, columns in ((slice(0, 150), slice(0, 180)), (slice(150, 300), slice(180, 360))):
            y, x = (0.5 * (part.start + part.stop - 1) for part in (rows, columns))
            expected = motion.shift_px(frame, np.array([x]), np.array([y]), 180.0)
            seen = _displacement(frames[frame][rows, columns], frames[0][rows, columns])
            # Half a step of the search, plus the doming within the part, whose particles do not lie in its middle.
            assert seen == pytest.approx(np.concatenate(expected), abs=0.5)


def test_frames_hold_equal_doses_and_independent_noise(dimer_map: Tensor) -> None:
    imager = _imager(dimer_map, thickness_slope=0.0)
    truth = imager.truth(0)
    motion = draw_motion(imager, MotionRecipe(frames=6, drift_angstrom=10.0, doming_angstrom=0.0), 0)
    frames = np.stack([*movie_frames(imager, 0, truth, motion)])
    assert frames.mean((1, 2)) == pytest.approx(np.full(6, imager.electrons_px / 6), rel=0.01)
    residual = frames - frames.mean(0)
    correlation = np.corrcoef(residual[0].ravel(), residual[1].ravel())[0, 1]
    # Residuals of independent frames correlate by -1/(n-1).
    assert correlation == pytest.approx(-0.2, abs=0.02)
    assert np.hypot(*motion.drift_px[-1]) * PIXEL_SIZE_ANGSTROM == pytest.approx(8.0, abs=6.0)
    assert not motion.drift_px[0].any()


def test_detail_fades_from_frame_to_frame(dimer_map: Tensor) -> None:
    imager = _imager(dimer_map, dose_e_per_angstrom2=60.0)
    early = imager.remaining(np.array([0.02, 0.15]), 0.0, 10.0)
    late = imager.remaining(np.array([0.02, 0.15]), 50.0, 60.0)
    assert late[0] / early[0] > 0.8
    assert late[1] / early[1] < 0.1
