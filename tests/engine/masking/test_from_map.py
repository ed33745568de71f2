"""Masks cut from maps."""

from __future__ import annotations

import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.masking import MaskShape, density_threshold, mask_from_map, soft_sphere

BOX, PIXEL_SIZE = 64, 2.0
RADIUS_PX = 14.0


def noisy_ball(noise, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return soft_sphere(BOX, RADIUS_PX, 2.0) + noise * torch.randn(BOX, BOX, BOX, generator=generator)


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_a_ball_is_covered_and_the_solvent_is_not(noise):
    """The 1-region is the ball and the extension of 3 px, the edge 5 px more; noise moves it by up to 2 px."""
    mask = mask_from_map(noisy_ball(noise), PIXEL_SIZE)
    assert mask.min() == 0
    assert mask.max() == 1
    full = (3 * float((mask == 1).sum()) / (4 * torch.pi)) ** (1 / 3)
    any_ = (3 * float((mask > 0).sum()) / (4 * torch.pi)) ** (1 / 3)
    assert full == pytest.approx(RADIUS_PX + 1 + 3, abs=2)
    assert any_ == pytest.approx(RADIUS_PX + 1 + 8, abs=2)
    assert mask[soft_sphere(BOX, RADIUS_PX - 1, 1.0) > 0.5].min() > 0.9


def test_small_pieces_are_left_out():
    line = torch.arange(BOX) - BOX // 2
    off = (line[:, None, None] - 20) ** 2 + (line[:, None] - 20) ** 2 + line**2 < 9
    mask = mask_from_map(noisy_ball(0.1) + off, PIXEL_SIZE, MaskShape(low_pass_angstrom=6.0))
    assert mask[BOX // 2 + 20, BOX // 2 + 20, BOX // 2] == 0


def test_two_separate_parts_of_one_particle_are_both_kept():
    ball = soft_sphere(BOX, 8.0, 2.0)
    pair = ball.roll(14, 0) + ball.roll(-14, 0)
    mask = mask_from_map(pair, PIXEL_SIZE)
    assert mask[BOX // 2 + 14, BOX // 2, BOX // 2] == 1
    assert mask[BOX // 2 - 14, BOX // 2, BOX // 2] == 1


def test_the_threshold_can_be_given():
    volume = noisy_ball(0.1)
    wide, narrow = (mask_from_map(volume, PIXEL_SIZE, MaskShape(threshold=t)) for t in (0.2, 0.8))
    assert wide.sum() > 1.1 * narrow.sum()


def test_the_threshold_rejects_noise_and_ripples():
    noise = 0.2 * torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))
    assert density_threshold(noise) == pytest.approx(0.6, rel=0.05)
    # A strong particle in faint noise: three sigma of the noise would take in its ripples.
    assert density_threshold(noisy_ball(0.01)) == pytest.approx(0.3, abs=0.02)


def test_an_empty_map_is_refused():
    with pytest.raises(InputError, match="no density lies above"):
        mask_from_map(torch.zeros(BOX, BOX, BOX), PIXEL_SIZE)
