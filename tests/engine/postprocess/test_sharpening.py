"""B-factor and sharpening on maps whose fall-off is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fsc, irfftn, rfftn, shell_average, shell_index
from cryocloud.engine.postprocess import guinier_plot, sharpen
from cryocloud.engine.postprocess.sharpening import fsc_weight

BOX, PIXEL_SIZE = 48, 1.5
ONES = torch.ones(BOX // 2 + 1, dtype=torch.float64)


@pytest.fixture
def white_volume():
    return torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(0))


def damped(volume, b_factor_angstrom2):
    """The volume times exp(-B s^2 / 4)."""
    full, half = torch.fft.fftfreq(BOX, PIXEL_SIZE), torch.fft.rfftfreq(BOX, PIXEL_SIZE)
    s2 = full[:, None, None] ** 2 + full[:, None] ** 2 + half**2
    return irfftn(rfftn(volume) * torch.exp(-b_factor_angstrom2 * s2 / 4), BOX)


@pytest.mark.parametrize("b_factor", [40.0, 150.0])
def test_the_b_factor_of_a_damped_map_is_found(white_volume, b_factor):
    """Fall-off is positive damping, so the B-factor to apply is negative; shells of 1000 voxels give it to 2 %."""
    guinier = guinier_plot(damped(white_volume, b_factor), ONES, PIXEL_SIZE, resolution_angstrom=3.5)
    assert guinier.b_factor_angstrom2 == pytest.approx(-b_factor, rel=0.02, abs=2)


def test_the_fsc_weight_keeps_noise_out_of_the_fit(white_volume):
    """Signal falls with B = 150, both half maps add white noise: ln(amplitude) is flat, ln(weighted) is not."""
    generator = torch.Generator().manual_seed(1)
    signal = damped(white_volume, 150.0)
    halves = [signal + 0.05 * torch.randn(BOX, BOX, BOX, generator=generator) for _ in range(2)]
    guinier = guinier_plot((halves[0] + halves[1]) / 2, fsc(*halves), PIXEL_SIZE, resolution_angstrom=3.7)
    assert guinier.b_factor_angstrom2 == pytest.approx(-150, rel=0.1)


def test_too_narrow_a_range_gives_no_b_factor(white_volume):
    guinier = guinier_plot(white_volume, ONES, PIXEL_SIZE, resolution_angstrom=9.0)
    assert guinier.b_factor_angstrom2 is None


def test_sharpening_undoes_the_damping(white_volume):
    restored = sharpen(
        damped(white_volume, 100.0),
        ONES,
        PIXEL_SIZE,
        b_factor_angstrom2=-100.0,
        low_pass_angstrom=2 * PIXEL_SIZE,
    )
    shell = shell_index(BOX, 3)
    inside = slice(0, BOX // 2 - 2)
    power = [
        shell_average(rfftn(v).abs() ** 2, shell, BOX // 2 + 1)[inside] for v in (restored, white_volume)
    ]
    assert torch.allclose(power[0], power[1], rtol=1e-3)
    assert fsc(restored, white_volume)[inside].min() > 0.9999


def test_the_weight_is_the_figure_of_merit():
    curve = torch.tensor([1.0, 1 / 3, 0.143, 0.0, -0.2], dtype=torch.float64)
    expected = torch.tensor([1.0, math.sqrt(0.5), 0.5002, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(fsc_weight(curve), expected, atol=1e-3)


def test_nothing_is_left_beyond_the_low_pass(white_volume):
    filtered = sharpen(white_volume, ONES, PIXEL_SIZE, b_factor_angstrom2=0.0, low_pass_angstrom=6.0)
    last = round(BOX * PIXEL_SIZE / 6.0)
    power = shell_average(rfftn(filtered).abs() ** 2, shell_index(BOX, 3), BOX // 2 + 1)
    assert power[last + 2 :].max() < 1e-6 * power[last - 2]
    assert power[last] < power[last - 2]


def test_an_absurd_b_factor_is_refused(white_volume):
    with pytest.raises(InputError, match="closer to zero"):
        sharpen(white_volume, ONES, PIXEL_SIZE, b_factor_angstrom2=-2000.0, low_pass_angstrom=3.0)


def test_the_fit_sees_only_its_range(blobs):
    """Shells coarser than 10 A, where a protein's shape rules, are left out."""
    volume = replace(blobs, width_px=1.0).volume(BOX)
    guinier = guinier_plot(volume, ONES, PIXEL_SIZE, resolution_angstrom=4.0)
    d = guinier.inverse_d2[guinier.fitted] ** -0.5
    assert d.max() <= 10.0
    assert d.min() >= 4.0
