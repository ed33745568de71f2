"""Maps laid on each other: known motions of known objects must come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cryocloud.engine.alignment.volumes import (
    VolumeAlignment,
    align_volumes,
    apply_alignment,
    poses_in_fixed_frame,
    refine_volume_alignment,
)
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import make_pixel_list, phase_ramps
from cryocloud.engine.geometry import angular_distance_deg, random_rotations, symmetry_operators
from cryocloud.engine.reconstruction import slice_volume, volume_transform

PIXEL_SIZE_ANGSTROM = 4.0
RESOLUTION_ANGSTROM = 20.0


def _moved(volume: Tensor, seed: int, *, mirrored: bool) -> tuple[Tensor, VolumeAlignment]:
    """A map turned, shifted (and mirrored) at random, and the motion that lays it back."""
    generator = torch.Generator().manual_seed(seed)
    rotation = random_rotations(1, generator)[0]
    shift = 6 * (torch.rand(3, generator=generator, dtype=torch.float64) - 0.5)
    moved = apply_alignment(volume, VolumeAlignment(rotation, shift, mirrored, 0.0))
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0 if mirrored else 1.0], dtype=torch.float64))
    back = mirror @ rotation.mT @ mirror
    return moved, VolumeAlignment(back, -(back @ mirror @ shift), mirrored, 1.0)


@pytest.mark.parametrize("symmetry", ["C1", "D2", "O"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_motion_and_hand_come_back(
    blob_volume: Callable[..., Tensor], symmetry: str, mirrored: bool, device: str
) -> None:
    fixed = blob_volume(symmetry, box_size_px=48).to(device)
    moving, truth = _moved(fixed, 3, mirrored=mirrored)
    found = align_volumes(
        moving, fixed, pixel_size_angstrom=PIXEL_SIZE_ANGSTROM, resolution_angstrom=RESOLUTION_ANGSTROM
    )
    assert found.mirrored == mirrored
    operators = symmetry_operators(symmetry)
    error_deg = float(angular_distance_deg(found.rotation[None], truth.rotation[None], operators)[0])
    # Interpolation errs by 0.2 % of the map, which turns a band of 20 A on an object of 60 A by far less than this.
    assert error_deg < 0.2
    assert found.correlation > 0.999
    if symmetry == "C1":
        assert (found.shift_px - truth.shift_px).abs().max() < 0.05


def test_noise_ten_times_as_strong_as_the_map_leaves_the_motion_findable(
    blob_volume: Callable[..., Tensor],
) -> None:
    fixed = blob_volume("C1", box_size_px=48)
    moving, truth = _moved(fixed, 5, mirrored=True)
    noise = torch.randn(moving.shape, generator=torch.Generator().manual_seed(0))
    noisy = moving + noise * moving.std() * 10**0.5
    found = align_volumes(
        noisy, fixed, pixel_size_angstrom=PIXEL_SIZE_ANGSTROM, resolution_angstrom=RESOLUTION_ANGSTROM
    )
    assert found.mirrored
    # A tenth of the fringe spacing at the object's rim (20 A on a radius of 55 A is 21 degrees).
    assert float(angular_distance_deg(found.rotation[None], truth.rotation[None])[0]) < 3.0


def test_symmetry_saves_time_without_losing_the_motion(blob_volume: Callable[..., Tensor]) -> None:
    fixed = blob_volume("D7", box_size_px=48)
    moving, _ = _moved(fixed, 2, mirrored=False)
    found = align_volumes(
        moving,
        fixed,
        pixel_size_angstrom=PIXEL_SIZE_ANGSTROM,
        resolution_angstrom=RESOLUTION_ANGSTROM,
        operators=symmetry_operators("D7"),
    )
    assert found.correlation > 0.999


def test_the_hand_is_left_alone_when_asked(blob_volume: Callable[..., Tensor]) -> None:
    fixed = blob_volume("C1", box_size_px=48)
    moving, _ = _moved(fixed, 3, mirrored=True)
    found = align_volumes(moving, fixed, pixel_size_angstrom=PIXEL_SIZE_ANGSTROM, search_hand=False)
    assert not found.mirrored
    assert found.correlation < 0.95


def test_refinement_goes_on_from_a_start_two_degrees_off(blob_volume: Callable[..., Tensor]) -> None:
    fixed = blob_volume("C1", box_size_px=48)
    moving, truth = _moved(fixed, 4, mirrored=True)
    off = torch.linalg.matrix_exp(
        0.02 * torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64)
    )
    start = VolumeAlignment(off @ truth.rotation, truth.shift_px + 0.3, True, 0.0)
    found = refine_volume_alignment(
        moving, fixed, start, pixel_size_angstrom=PIXEL_SIZE_ANGSTROM, resolution_angstrom=10.0
    )
    assert float(angular_distance_deg(found.rotation[None], truth.rotation[None])[0]) < 0.05


@pytest.mark.parametrize("mirrored", [False, True])
def test_poses_follow_the_map(blob_volume: Callable[..., Tensor], mirrored: bool) -> None:
    fixed = blob_volume("C1", box_size_px=48)
    moving, back = _moved(fixed, 6, mirrored=mirrored)
    rotation = random_rotations(5, torch.Generator().manual_seed(1))
    shift = torch.randn(5, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    pixels = make_pixel_list(48, 12)
    image = slice_volume(volume_transform(moving), rotation, pixels) * phase_ramps(-shift, pixels)
    turned, moved = poses_in_fixed_frame(back, rotation, shift)
    same = slice_volume(volume_transform(fixed), turned, pixels) * phase_ramps(-moved, pixels)
    # Both slices are trilinear, each good to about 3 % of its rms.
    assert float((image - same).norm() / same.norm()) < 0.08


def test_maps_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="resample"):
        align_volumes(torch.zeros(32, 32, 32), torch.zeros(48, 48, 48), pixel_size_angstrom=2.0)


def test_an_empty_map_is_refused(blob_volume: Callable[..., Tensor]) -> None:
    with pytest.raises(InputError, match="empty"):
        align_volumes(torch.zeros(48, 48, 48), blob_volume(box_size_px=48), pixel_size_angstrom=2.0)
