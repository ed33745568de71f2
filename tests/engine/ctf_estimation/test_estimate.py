from __future__ import annotations

import math
import statistics

import pytest
import torch

from cryocloud.engine.ctf_estimation import (
    CtfEstimate,
    CtfSettings,
    SearchRange,
    estimate_ctf,
    rings_beside_model,
)
from cryocloud.engine.errors import InputError

from .conftest import KRIOS, Simulator, Truth

CASES = [
    Truth(8000, 400, 20),
    Truth(12000, 0, 0),
    Truth(16000, 250, 100),
    Truth(22000, 1500, 170),
    Truth(30000, 800, 65),
]


def estimate(image: torch.Tensor, pixel_size_angstrom: float = 1.5, **settings: object) -> CtfEstimate:
    return estimate_ctf(
        image, pixel_size_angstrom=pixel_size_angstrom, optics=KRIOS, settings=CtfSettings(**settings)
    )


def test_defocus_and_astigmatism_of_simulated_micrographs(
    simulate_micrograph: Simulator, device: str
) -> None:
    errors = []
    for seed, truth in enumerate(CASES):
        found = estimate(simulate_micrograph(truth, seed=seed).to(device)).defocus
        errors.append(abs(found.mean_angstrom - truth.defocus_angstrom))
        # The Cramer-Rao bound here is about 8 Angstrom for the defocus, 23 for the astigmatism.
        assert errors[-1] <= 50
        assert abs(found.astigmatism_angstrom - truth.astigmatism_angstrom) <= 70
        if truth.astigmatism_angstrom > 200:
            assert abs((found.defocus_angle_deg - truth.angle_deg + 90) % 180 - 90) <= 5
    assert statistics.median(errors) <= 20


def test_a_micrograph_of_a_camera_is_fitted_within_the_bars(simulate_micrograph: Simulator) -> None:
    truth = Truth(14000, 300, 40)
    image = simulate_micrograph(truth, edge_px=3072, pixel_size_angstrom=1.1)
    found = estimate(image, 1.1)
    assert abs(found.defocus.mean_angstrom - truth.defocus_angstrom) <= 20
    assert abs(found.defocus.astigmatism_angstrom - truth.astigmatism_angstrom) <= 30
    assert abs(found.defocus.defocus_angle_deg - truth.angle_deg) <= 5


def test_fine_pixels_are_cut_to_the_band_that_is_fitted(simulate_micrograph: Simulator) -> None:
    truth = Truth(15000, 600, 120)
    found = estimate(simulate_micrograph(truth, edge_px=1504, pixel_size_angstrom=0.68), 0.68)
    assert found.spectrum.pixel_size_angstrom == pytest.approx(1.5, abs=0.15)
    assert abs(found.defocus.mean_angstrom - truth.defocus_angstrom) <= 50
    assert abs((found.defocus.defocus_angle_deg - truth.angle_deg + 90) % 180 - 90) <= 5


def test_phase_shift_is_found_together_with_the_defocus(simulate_micrograph: Simulator) -> None:
    truth = Truth(9000, 300, 30, phase_shift_deg=70)
    search = SearchRange(phase_shift_max_deg=175.0)
    found = estimate(simulate_micrograph(truth), search=search, fit_phase_shift=True)
    assert found.defocus.phase_shift_deg % 180 == pytest.approx(70, abs=5)
    # Defocus and phase shift trade off: 5 degrees are worth about 100 Angstrom.
    assert abs(found.defocus.mean_angstrom - truth.defocus_angstrom) <= 100


def test_gray_scale_and_sign_do_not_matter(simulate_micrograph: Simulator) -> None:
    image = simulate_micrograph(Truth(16000, 500, 45))
    a, b = estimate(image).defocus, estimate(3000 - 250 * image).defocus
    # float32 rounding of shifted gray values
    assert a.defocus_u_angstrom == pytest.approx(b.defocus_u_angstrom, abs=1)
    assert a.defocus_angle_deg == pytest.approx(b.defocus_angle_deg, abs=0.5)


def test_fit_resolution_follows_the_signal(simulate_micrograph: Simulator) -> None:
    weak, strong = (estimate(simulate_micrograph(Truth(), signal=signal)) for signal in (0.3, 4.0))
    assert strong.fit_resolution_angstrom < weak.fit_resolution_angstrom
    assert strong.figure_of_merit > weak.figure_of_merit > 0.06
    assert strong.fit_resolution_angstrom < 4.5


def test_pure_noise_has_no_rings() -> None:
    noise = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(3))
    found = estimate(noise)
    # Fourteen splines and three parameters describe 0.03 of the variance of 40,000 frequencies by chance.
    assert found.figure_of_merit < 0.08
    assert found.fit_resolution_angstrom > 10


def test_drift_takes_the_signal_of_one_direction(simulate_micrograph: Simulator) -> None:
    steady = estimate(simulate_micrograph(Truth(20000)))
    drifting = estimate(simulate_micrograph(Truth(20000, drift_angstrom=60, drift_deg=30)))
    assert steady.directional_signal.weakest_to_strongest > 0.8
    assert drifting.directional_signal.weakest_to_strongest < 0.1
    assert drifting.directional_signal.weakest_direction_deg == pytest.approx(30, abs=10)


def test_ice_ring_is_seen_only_where_the_pixels_resolve_it(simulate_micrograph: Simulator) -> None:
    image = simulate_micrograph(Truth())
    sy, sx = torch.fft.fftfreq(1024, 1.5)[:, None], torch.fft.rfftfreq(1024, 1.5)[None]
    ring = torch.exp(-(((torch.hypot(sx, sy) - 1 / 3.7) / 0.004) ** 2))
    icy = torch.fft.irfft2(torch.fft.rfft2(image) * (1 + ring))
    assert abs(estimate(image).ice_ring) < 0.05
    assert estimate(icy).ice_ring > 0.5
    assert math.isnan(estimate(simulate_micrograph(Truth(), pixel_size_angstrom=2.5), 2.5).ice_ring)


def test_picture_has_data_right_and_model_left(simulate_micrograph: Simulator) -> None:
    found = estimate(simulate_micrograph(Truth(20000, 500, 30)))
    picture = rings_beside_model(found, KRIOS)
    assert picture.shape == (512, 512)
    data, model = picture[226:287, 286:330], picture[226:287, 183:227].flip(0, 1)
    assert float(torch.corrcoef(torch.stack([data.ravel(), model.ravel()]))[0, 1]) > 0.7


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.zeros(512, 512), "all pixels have the same value"),
        (torch.full((512, 512), math.nan), "not finite"),
        (torch.zeros(100, 4000), "4000 x 100 pixels: at least 128"),
    ],
)
def test_useless_images_are_refused(image: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        estimate(image)


def test_pixels_too_coarse_for_any_rings_are_refused() -> None:
    noise = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"between 30 and 25 Å only.*check the pixel size"):
        estimate(noise, 12.0)
