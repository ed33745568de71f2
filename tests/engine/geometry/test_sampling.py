from __future__ import annotations

import numpy as np
import pytest
import torch
from astropy_healpix import HEALPix
from hypothesis import given
from hypothesis import strategies as st

from cryocloud.engine.geometry import (
    angular_distance_deg,
    healpix_directions,
    random_rotations,
    rotation_grid,
    shift_grid,
    symmetry_operators,
)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_directions_are_healpix_pixel_centers(order: int) -> None:
    rot_deg, tilt_deg = healpix_directions(order)
    oracle = HEALPix(nside=2**order, order="ring")
    longitude, latitude = oracle.healpix_to_lonlat(np.arange(12 * 4**order))
    np.testing.assert_allclose(rot_deg.numpy(), longitude.deg, atol=1e-9)
    np.testing.assert_allclose(tilt_deg.numpy(), 90 - latitude.deg, atol=1e-9)


@pytest.mark.parametrize(
    ("order", "symmetry"), [(1, "C1"), (2, "C1"), (2, "D7"), (2, "T"), (2, "O"), (3, "I")]
)
def test_grids_cover_all_orientations(order: int, symmetry: str) -> None:
    """An orientation lies within a cell of its nearest grid point, up to symmetry.

    Cells cut by the border of the asymmetric unit may be larger in a turned grid, which is not symmetric itself.
    """
    operators = symmetry_operators(symmetry)
    perturbation = random_rotations(1, torch.Generator().manual_seed(order))[0]
    grid = rotation_grid(order, operators, perturbation)
    n_all = 12 * 4**order * 6 * 2**order
    assert len(grid) == pytest.approx(n_all / len(operators), rel=0.1)
    random = random_rotations(150, torch.Generator().manual_seed(9))
    nearest = torch.stack([angular_distance_deg(r.expand_as(grid), grid, operators).min() for r in random])
    # Directions 58.6 / 2^order degrees apart, angles 60 / 2^order: a cell's corner is about 0.75 steps away.
    step_deg = 60 / 2**order
    assert nearest.quantile(0.95) < 0.75 * step_deg
    assert nearest.max() < (0.8 if symmetry == "C1" else 1.5) * step_deg


def test_each_direction_has_all_angles_in_a_row() -> None:
    grid = rotation_grid(1).view(48, 12, 3, 3)
    torch.testing.assert_close(grid[:, :, :, 2], grid[:, :1, :, 2].expand(-1, 12, -1))
    step = angular_distance_deg(grid[:, 0], grid[:, 1])
    torch.testing.assert_close(step, torch.full((48,), 30.0, dtype=torch.float64))


@given(st.floats(0, 12), st.floats(0.3, 3))
def test_shifts_fill_a_disc_from_the_center_out(radius_px: float, step_px: float) -> None:
    shifts = shift_grid(radius_px, step_px)
    length = shifts.norm(dim=1)
    assert length[0] == 0
    assert length.max() <= radius_px + 1e-6
    assert (length.diff() >= -1e-12).all()
    line = np.arange(-50, 51) * step_px
    x, y = np.meshgrid(line, line)
    assert len(shifts) == (np.hypot(x, y) <= radius_px + 1e-9).sum()
    assert len(torch.unique(shifts, dim=0)) == len(shifts)
