from __future__ import annotations

import math

import pytest
import torch

from cryocloud.engine.masking import soft_circle, soft_sphere


def test_inside_one_outside_zero_and_falling_between() -> None:
    mask = soft_circle(64, 20.0, 6.0)
    row = mask[32, 32:]
    assert (row[:21] == 1).all()
    assert (row[26:] == 0).all()
    assert (row[20:27].diff() < 0).all()
    # Half way over the edge a raised cosine is one half.
    assert row[23].item() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("box", [32, 33])
def test_the_center_is_the_pixel_at_half_the_box(box: int) -> None:
    mask = soft_circle(box, 8.0, 3.0)
    center = box // 2
    around = mask[center - 12 : center + 13, center - 12 : center + 13]
    torch.testing.assert_close(around, around.flip(0))
    torch.testing.assert_close(around, around.T)
    assert mask.sum().item() == pytest.approx(around.sum().item(), rel=1e-6)


def test_areas_and_volumes() -> None:
    """The edge counts half: integrals of a raised cosine from r to r + w, to a percent of lattice error."""
    r, w = 20.0, 6.0
    assert soft_circle(64, r, w).sum().item() == pytest.approx(math.pi * (r + w / 2) ** 2, rel=0.01)
    assert soft_sphere(64, r, w).sum().item() == pytest.approx(4 / 3 * math.pi * (r + w / 2) ** 3, rel=0.015)


def test_a_sphere_cut_through_its_center_is_a_circle() -> None:
    torch.testing.assert_close(soft_sphere(32, 9.0, 4.0)[16], soft_circle(32, 9.0, 4.0))
