"""Local pose refinement: exact on clean images, as good as its covariance says on noisy ones, on every device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cryocloud.engine.alignment.local_pose import (
    LocalPoses,
    Observations,
    _refine_batched,
    refine_local_poses,
)
from cryocloud.engine.fourier import PixelList, make_pixel_list, phase_ramps
from cryocloud.engine.geometry import angular_distance_deg, random_rotations, rotation_from_vector
from cryocloud.engine.reconstruction import slice_volume, volume_transform

N = 60


class Case:
    """N clean or noisy images of a blob object with known poses, and starts about 4 degrees off."""

    def __init__(self, volume: Tensor, noise: float) -> None:
        generator = torch.Generator().manual_seed(1)
        self.pixels: PixelList = make_pixel_list(volume.shape[0], 18)
        scale = (
            slice_volume(volume_transform(volume), torch.eye(3, dtype=torch.float64)[None], self.pixels)
            .abs()
            .square()
            .mean()
            .sqrt()
        )
        self.reference = volume_transform(volume / scale)
        self.rotation = random_rotations(N, generator)
        self.shift_px = torch.randn(N, 2, generator=generator, dtype=torch.float64)
        transfer = torch.randn(N, len(self.pixels), generator=generator).sign()
        clean = slice_volume(self.reference, self.rotation, self.pixels) * transfer
        clean = clean * phase_ramps(-self.shift_px, self.pixels)
        drawn = torch.randn(clean.shape, generator=generator, dtype=torch.complex64)
        sigma2 = torch.full((19,), max(noise, 0.5) ** 2, dtype=torch.float64)
        self.observations = Observations(clean + noise * drawn, transfer, sigma2, self.pixels)
        turn = 0.04 * torch.randn(N, 3, generator=generator, dtype=torch.float64)
        self.start_rotation = self.rotation @ rotation_from_vector(turn)
        self.start_shift_px = self.shift_px + 0.4 * torch.randn(
            N, 2, generator=generator, dtype=torch.float64
        )
        self.image = torch.arange(N)

    def refined(self, n_steps: int = 8) -> LocalPoses:
        return refine_local_poses(
            self.reference,
            self.observations,
            self.image,
            self.start_rotation,
            self.start_shift_px,
            n_steps=n_steps,
        )


@pytest.fixture(scope="module")
def volume(blob_volume) -> Tensor:  # type: ignore[no-untyped-def]
    return blob_volume("C1", box_size_px=48)


def test_clean_images_give_exact_poses(volume: Tensor) -> None:
    case = Case(volume, noise=0.0)
    poses = case.refined()
    # Float32 interpolation leaves 1e-5 degrees; a few may stop early, where gains fall below 0.01.
    assert angular_distance_deg(poses.rotation, case.rotation).median() < 0.05
    assert (poses.shift_px - case.shift_px).norm(dim=1).median() < 0.01


def test_noisy_poses_scatter_as_their_covariance_says(volume: Tensor) -> None:
    case = Case(volume, noise=0.8)
    poses = case.refined()
    error = angular_distance_deg(poses.rotation, case.rotation)
    covariance = torch.linalg.inv(poses.normal) / 2
    predicted = torch.rad2deg(torch.diagonal(covariance, dim1=1, dim2=2)[:, :3].sum(1).sqrt())
    ratio = (error.square().mean() / predicted.square().mean()).sqrt()
    # rms over 60 images x 3 angles: 5 % sampling error, and the optimum is not quite quadratic.
    assert 0.75 < ratio < 1.35


def test_misfit_never_rises(volume: Tensor) -> None:
    case = Case(volume, noise=0.8)
    assert (case.refined(8).misfit <= case.refined(2).misfit + 1e-6).all()


def test_shift_prior_pulls_towards_zero(volume: Tensor) -> None:
    case = Case(volume, noise=0.8)
    tight = refine_local_poses(
        case.reference,
        case.observations,
        case.image,
        case.start_rotation,
        case.start_shift_px,
        n_steps=8,
        sigma_shift_px=0.05,
    )
    assert tight.shift_px.norm(dim=1).mean() < 0.5 * case.refined().shift_px.norm(dim=1).mean()


def test_tensor_path_equals_compiled_path(volume: Tensor) -> None:
    """What runs on CUDA is the same algorithm: compared here on the CPU."""
    case = Case(volume, noise=0.8)
    batched = _refine_batched(
        case.reference, case.observations, case.image, case.start_rotation, case.start_shift_px, (8, 0.0)
    )
    compiled = case.refined()
    # The compiled kernel stops once a step gains less than 0.01 in log-likelihood.
    assert (batched.misfit - compiled.misfit).abs().median() < 0.01
    assert angular_distance_deg(batched.rotation, compiled.rotation).median() < 0.2


def test_runs_on_each_device(volume: Tensor, device: str) -> None:
    case = Case(volume, noise=0.0)
    reference = volume_transform(volume.to(device) / volume.abs().max())
    observed = case.observations
    poses = refine_local_poses(
        reference,
        Observations(
            observed.coefficients.to(device),
            observed.transfer.to(device),
            observed.sigma2.to(device),
            case.pixels.to(device),
        ),
        case.image.to(device),
        case.start_rotation.to(device),
        case.start_shift_px.to(device),
    )
    assert poses.rotation.device.type == device
    assert bool(torch.isfinite(poses.misfit).all())
