from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import (
    fsc,
    make_pixel_list,
    resolution_angstrom,
    ring_average,
    shell_average,
    shell_index,
)


def _volume(seed: int, box: int = 24) -> torch.Tensor:
    return torch.randn(box, box, box, generator=torch.Generator().manual_seed(seed))


def test_a_map_agrees_with_itself() -> None:
    torch.testing.assert_close(fsc(_volume(1), 3 * _volume(1)), torch.ones(13, dtype=torch.float64))


def test_noise_does_not_agree() -> None:
    """Each shell's correlation is 0 with standard deviation 1/sqrt(number of independent pairs)."""
    curve = fsc(_volume(1), _volume(2))[1:12]
    count = torch.bincount(shell_index(24, 3).flatten())[1:12]
    assert (curve.abs() < 4 / count.sqrt()).all()


def test_known_noise_gives_the_known_curve() -> None:
    """Signal plus independent noise of half its variance: FSC = 1 / (1 + 0.5)."""
    signal = _volume(1, 48)
    a, b = (signal + math.sqrt(0.5) * _volume(seed, 48) for seed in (2, 3))
    count = torch.bincount(shell_index(48, 3).flatten())[8:24].double()
    assert ((fsc(a, b)[8:24] - 2 / 3).abs() < 4 / count.sqrt()).all()


@given(st.floats(0.1, 10), st.floats(-10, -0.1))
def test_gray_scale_does_not_matter_but_contrast_does(factor: float, negative: float) -> None:
    a, b = _volume(1, 8), _volume(2, 8) + _volume(1, 8)
    torch.testing.assert_close(fsc(a, factor * b), fsc(a, b), atol=1e-5, rtol=0)
    torch.testing.assert_close(fsc(a, negative * b)[1:], -fsc(a, b)[1:], atol=1e-5, rtol=0)


def test_volumes_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"two cubes of one size, got \(24, 24, 24\) and \(8, 8, 8\)"):
        fsc(_volume(1), _volume(1, 8))


def test_resolution_is_interpolated_between_shells() -> None:
    curve = torch.tensor([1, 0.9, 0.8, 0.2, 0.0], dtype=torch.float64)
    # 0.5 lies half way between shells 2 and 3: 8 px of 2 A / 2.5.
    assert resolution_angstrom(curve, 0.5, 8, 2.0) == pytest.approx(16 / 2.5)


def test_the_first_crossing_counts() -> None:
    curve = torch.tensor([1, 0.9, 0.1, 0.9, 0.9], dtype=torch.float64)
    assert resolution_angstrom(curve, 0.5, 8, 2.0) == pytest.approx(16 / 1.5)


def test_a_curve_that_never_falls_gives_its_last_shell() -> None:
    assert resolution_angstrom(torch.ones(5, dtype=torch.float64), 0.143, 8, 2.0) == pytest.approx(4.0)


def test_shell_and_ring_averages() -> None:
    pixels = make_pixel_list(16, 7)
    rings = ring_average(pixels.ring[None].float(), pixels)
    torch.testing.assert_close(rings[0], torch.arange(8, dtype=torch.float64))
    shell = shell_index(16, 3)
    torch.testing.assert_close(shell_average(shell.float(), shell, 9), torch.arange(9, dtype=torch.float64))
