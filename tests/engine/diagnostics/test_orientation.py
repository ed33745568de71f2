"""Coverage of Fourier space by views."""

from __future__ import annotations

import pytest
import torch

from cryocloud.engine.diagnostics import orientation_coverage
from cryocloud.engine.geometry import random_rotations, rotation_from_euler, symmetry_operators

NONE = torch.eye(3, dtype=torch.float64)[None]


def views(tilt_deg, n=4000):
    generator = torch.Generator().manual_seed(1)
    rot, psi = 360 * torch.rand(2, n, generator=generator, dtype=torch.float64)
    return rotation_from_euler(rot, torch.full((n,), tilt_deg, dtype=torch.float64), psi)


def test_even_views_sample_evenly():
    coverage = orientation_coverage(random_rotations(20000, torch.Generator().manual_seed(0)), NONE)
    assert coverage.sampling.mean() == pytest.approx(1, abs=0.01)
    assert coverage.sampling_compensation_factor > 0.98
    assert coverage.unseen_fraction == 0


def test_side_views_give_the_known_factor():
    """Views all around one axis: the density at angle a from it is 2 / (pi sin a), whose SCF is 0.81 (8 / pi^2)."""
    coverage = orientation_coverage(views(90.0, 20000), NONE, tolerance_deg=1.0)
    assert coverage.sampling_compensation_factor == pytest.approx(8 / torch.pi**2, abs=0.02)


def test_top_views_leave_a_gap():
    """Views within 30 degrees of z never see frequencies within 60 degrees of z."""
    coverage = orientation_coverage(views(30.0), NONE)
    unseen = coverage.direction[coverage.sampling <= 0]
    assert coverage.unseen_fraction == pytest.approx(1 - 0.5, abs=0.06)
    assert unseen[:, 2].abs().min() > 0.45
    assert coverage.sampling_compensation_factor == 0


def test_symmetry_fills_gaps():
    """But for narrow cones around the threefolds, 54.7 degrees from the fourfolds: 30 + 54.7 < 90."""
    coverage = orientation_coverage(views(30.0, 1000), symmetry_operators("O"))
    unseen = coverage.direction[coverage.sampling <= 0]
    assert coverage.unseen_fraction < 0.02
    assert (unseen.abs().sum(1) / 3**0.5).min() > 0.99
