"""Comparison with the truth: errors that were put in must be measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cryocloud.engine.alignment.volumes import VolumeAlignment, apply_alignment, poses_in_fixed_frame
from cryocloud.engine.fourier import resample_volume, resolution_angstrom
from cryocloud.engine.geometry import random_rotations, rotation_from_vector, symmetry_operators
from cryocloud.engine.simulate.comparison import compare_maps, match_names, match_places, pose_errors

PIXEL_SIZE_ANGSTROM = 3.0


def test_maps_meet_across_rotation_hand_box_and_sampling(dimer_map: Tensor) -> None:
    rotation = random_rotations(1, torch.Generator().manual_seed(1))[0]
    motion = VolumeAlignment(rotation, torch.tensor([1.5, -2.0, 1.0], dtype=torch.float64), True, 0.0)
    moved = resample_volume(apply_alignment(dimer_map, motion), PIXEL_SIZE_ANGSTROM, 4.0, 40)
    compared = compare_maps(moved, 4.0, dimer_map, PIXEL_SIZE_ANGSTROM)
    assert compared.alignment.mirrored
    assert compared.low_pass_correlation > 0.995
    # The coarser sampling ends at 8 A; interpolation and box edge cost the last shells.
    assert resolution_angstrom(compared.fsc_unmasked, 0.5, 40, 4.0) < 8.6
    assert compared.aligned.shape == compared.truth.shape == moved.shape


def test_pose_errors_are_those_put_in() -> None:
    generator = torch.Generator().manual_seed(2)
    n, operators = 200, symmetry_operators("D2")
    true_rotation = random_rotations(n, generator)
    true_shift = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    frame = VolumeAlignment(
        random_rotations(1, generator)[0], torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64), True, 1.0
    )
    axis = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    error = rotation_from_vector(np.radians(2.0) * axis / axis.norm(dim=1, keepdim=True))
    # Found poses are the true ones, turned by an error and an operator, in the mirrored frame of the map.
    rotation = operators[torch.arange(n) % 4] @ true_rotation @ error
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    found = mirror @ frame.rotation.mT @ rotation @ mirror
    shift = true_shift - (rotation.mT @ frame.shift_px)[:, :2] + torch.tensor([0.3, 0.4])
    errors = pose_errors(found, shift, true_rotation, true_shift, frame, operators)
    assert errors.angle_deg == pytest.approx(np.full(n, 2.0), abs=1e-6)
    assert errors.shift == pytest.approx(np.full(n, 0.5), abs=1e-6)
    turned, _ = poses_in_fixed_frame(frame, found, shift)
    assert torch.allclose(turned, rotation)


def test_images_match_by_number_and_stack() -> None:
    found = ["000002@Extract/particles.mrcs", "000001@other.mrcs", "000009@particles.mrcs"]
    true = ["000001@particles.mrcs", "000002@Sim/particles.mrcs"]
    matches = match_names(found, true)
    assert (matches.found.tolist(), matches.true.tolist()) == ([0], [1])


def test_places_match_one_to_one_and_the_nearest_first() -> None:
    found = np.array([[10.0, 10.0], [12.0, 10.0], [50.0, 50.0], [10.0, 10.0]])
    true = np.array([[11.5, 10.0], [90.0, 90.0], [10.0, 11.0]])
    matches = match_places(found, np.array([0, 0, 0, 1]), true, np.array([0, 0, 1]), 5.0)
    pairs = set(zip(matches.found.tolist(), matches.true.tolist(), strict=True))
    assert pairs == {(1, 0), (3, 2)}


def test_no_place_matches_without_micrographs_in_common() -> None:
    matches = match_places(np.zeros((2, 2)), np.array([0, 0]), np.zeros((2, 2)), np.array([1, 1]), 5.0)
    assert len(matches) == 0
