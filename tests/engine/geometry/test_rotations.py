from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.transform import Rotation

from cryocloud.engine.geometry import (
    angular_distance_deg,
    euler_from_rotation,
    random_rotations,
    rotation_from_euler,
    rotation_from_vector,
    symmetry_operators,
)

_ANGLE = st.floats(-720, 720, allow_nan=False)


def _one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


@given(_ANGLE, _ANGLE, _ANGLE)
def test_euler_angles_are_scipys_intrinsic_zyz(rot: float, tilt: float, psi: float) -> None:
    ours = rotation_from_euler(_one(rot), _one(tilt), _one(psi))[0].numpy()
    oracle = Rotation.from_euler("ZYZ", [rot, tilt, psi], degrees=True).as_matrix()
    np.testing.assert_allclose(ours, oracle, atol=1e-12)


@given(_ANGLE, st.one_of(_ANGLE, st.sampled_from([0.0, 180.0, 1e-9, 180 - 1e-9])), _ANGLE)
def test_euler_angles_of_a_matrix_give_it_back(rot: float, tilt: float, psi: float) -> None:
    matrix = rotation_from_euler(_one(rot), _one(tilt), _one(psi))
    angles = euler_from_rotation(matrix)
    assert 0 <= angles[1] <= 180
    # arccos loses half of the digits near the poles.
    torch.testing.assert_close(rotation_from_euler(*angles), matrix, atol=2e-7, rtol=0)


def test_at_the_poles_rot_is_zero() -> None:
    rot, _, psi = euler_from_rotation(rotation_from_euler(_one(30.0), _one(0.0), _one(40.0)))
    assert rot == 0
    assert psi.item() == pytest.approx(70)


@given(st.tuples(*[st.floats(-3, 3)] * 3))
def test_rotation_vectors_are_scipys(vector: tuple[float, float, float]) -> None:
    ours = rotation_from_vector(torch.tensor([vector], dtype=torch.float64))[0].numpy()
    np.testing.assert_allclose(ours, Rotation.from_rotvec(vector).as_matrix(), atol=1e-9)


def test_random_rotations_are_uniform_and_follow_the_generator() -> None:
    first = random_rotations(4000, torch.Generator().manual_seed(3))
    again = random_rotations(4000, torch.Generator().manual_seed(3))
    assert torch.equal(first, again)
    identity = torch.eye(3, dtype=torch.float64).expand(4000, 3, 3)
    torch.testing.assert_close(first @ first.mT, identity, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.linalg.det(first), torch.ones(4000, dtype=torch.float64))
    # Uniform on SO(3): the cosine of the tilt is uniform, and so is the angle's a - sin a.
    assert stats.kstest(first[:, 2, 2].numpy(), stats.uniform(-1, 2).cdf).pvalue > 0.01
    angle = torch.deg2rad(angular_distance_deg(first, identity)).numpy()
    assert stats.kstest((angle - np.sin(angle)) / math.pi, stats.uniform().cdf).pvalue > 0.01


def test_angular_distance_is_the_angle_of_the_quotient() -> None:
    a, b = (random_rotations(50, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    oracle = Rotation.from_matrix((a.mT @ b).numpy()).magnitude()
    np.testing.assert_allclose(angular_distance_deg(a, b).numpy(), np.rad2deg(oracle), atol=1e-6)


def test_symmetry_mates_are_no_distance_apart() -> None:
    operators = symmetry_operators("O")
    a = random_rotations(24, torch.Generator().manual_seed(1))
    mates = operators @ a
    # arccos near 1 keeps half of the digits: 1e-6 degrees.
    assert angular_distance_deg(mates, a, operators).max() < 1e-5
    assert angular_distance_deg(mates[1:], a[1:]).min() > 80
