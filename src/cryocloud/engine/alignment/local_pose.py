"""Local refinement of particle poses by Levenberg-Marquardt steps on the likelihood.

A grid of poses twice as fine costs 8 times as much in rotations alone, and its error stays a good part of a grid
step. Near an optimum the likelihood is smooth, so a few Gauss-Newton steps over rotation and shift, each at the
price of one slice with derivatives, find the top itself. They find the nearest one: starts must lie in the right
basin, which a grid search sees to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float, Float32, Float64, Int64
from torch import Tensor

from cryocloud.engine.fourier import PixelList
from cryocloud.engine.geometry import rotation_from_vector
from cryocloud.engine.native.local_pose import refine_poses
from cryocloud.engine.reconstruction import VolumeTransform
from cryocloud.engine.reconstruction.grid import trilinear_corners

_LARGEST_STEP_DEG = 6.0


@dataclass(frozen=True)
class Observations:
    """Measured images to compare with models.

    Attributes
    ----------
    coefficients
        X, complex64 [b, n], unitary scale.
    transfer
        CTF times the image's scale, float32 [b, n].
    sigma2
        Noise variance of a complex coefficient in each ring 0 .. r_max [r].
    pixels
        The n pixels.
    """

    coefficients: Tensor
    transfer: Tensor
    sigma2: Tensor
    pixels: PixelList

    def within(self, r_max_px: int) -> Observations:
        """The same images in the rings up to ``r_max_px``."""
        band = self.pixels.within(r_max_px)
        n = len(band)
        return Observations(
            self.coefficients[:, :n], self.transfer[:, :n], self.sigma2[: band.r_max_px + 1], band
        )

    def inverse_sigma2(self) -> Tensor:
        """1 / sigma^2 of each pixel, float32 [n]."""
        return (1 / self.sigma2).to(torch.float32)[self.pixels.ring]


@dataclass(frozen=True)
class LocalPoses:
    """m poses at their likelihood optimum.

    Attributes
    ----------
    rotation
        float64 [m, 3, 3], M in the slice F(M [kx, ky, 0]).
    shift_px
        float64 [m, 2] (x, y); the model carries exp(+2 pi i k.shift / D).
    misfit
        float64 [m]: minus the log posterior (likelihood and shift prior) up to a constant of the image.
    normal
        float64 [m, 5, 5]: half the Gauss-Newton Hessian of minus the log-likelihood in (rotation vector about the
        image axes in rad, shift in px), without the shift prior. Its halved inverse is the covariance of the pose
        if the map is right; its determinant weighs modes (Laplace): the volume of a mode ~ det^-1/2.
    """

    rotation: Tensor
    shift_px: Tensor
    misfit: Tensor
    normal: Tensor


def refine_local_poses(
    reference: VolumeTransform,
    observations: Observations,
    image: Int64[Tensor, " m"],
    rotation: Float64[Tensor, "m 3 3"],
    shift_px: Float64[Tensor, "m 2"],
    *,
    n_steps: int = 4,
    sigma_shift_px: float = math.inf,
) -> LocalPoses:
    """Improve m poses of b images against one reference.

    Parameters
    ----------
    reference
        Transform of the map, with rings up to those of the pixels at least.
    image
        Row of ``observations`` that each pose belongs to.
    rotation, shift_px
        Start poses; the model is CTF * slice(M) * exp(+2 pi i k.shift / D). They are not written.
    n_steps
        At most so many steps a pose; each costs a slice with derivatives.
    sigma_shift_px
        Width of the Gaussian prior on shifts about zero; infinite = none.

    Notes
    -----
    Each step solves the damped normal equations of 5 unknowns, with rotations applied from the right (about the
    image's own axes) and bounded by 6 degrees; damping is multiplied by 0.3 after success, by 5 after failure
    (Levenberg 1944, Marquardt 1963). Rotations about the image's axes have no poles, as Euler angles have, and
    keep in-plane turns apart from changes of direction.
    """
    prior = 0.0 if math.isinf(sigma_shift_px) else 0.5 / sigma_shift_px**2
    if reference.grid.is_cuda:
        return _refine_batched(reference, observations, image, rotation, shift_px, (n_steps, prior))
    pixels = observations.pixels
    result = LocalPoses(
        rotation.clone(),
        shift_px.clone(),
        torch.empty(len(image)).double(),
        torch.empty(len(image), 5, 5).double(),
    )
    refine_poses(
        reference.grid.numpy(),
        torch.stack([pixels.kx, pixels.ky]).numpy(),
        observations.coefficients.contiguous().numpy(),
        observations.transfer.contiguous().numpy(),
        observations.inverse_sigma2().numpy(),
        image.numpy(),
        _settings(reference, n_steps, prior),
        *(t.numpy() for t in (result.rotation, result.shift_px, result.misfit, result.normal)),
    )
    return result


def _settings(
    reference: VolumeTransform, n_steps: int, prior: float
) -> tuple[float, float, int, float, float]:
    turn = 2 * math.pi / reference.box_size_px
    return float(reference.padding), turn, n_steps, math.radians(_LARGEST_STEP_DEG), prior


def _refine_batched(
    reference: VolumeTransform,
    observations: Observations,
    image: Tensor,
    rotation: Tensor,
    shift_px: Tensor,
    options: tuple[int, float],
) -> LocalPoses:
    """The same iteration as the compiled kernel, all samples at once in tensors, without its early end."""
    n_steps, prior = options
    largest = math.radians(_LARGEST_STEP_DEG)
    pose, move = rotation.clone(), shift_px.clone()
    damping = torch.full((len(image),), 1e-2, dtype=torch.float64, device=pose.device)
    ridge = torch.diag(torch.tensor([0, 0, 0, prior, prior], dtype=torch.float64, device=pose.device))
    cost, normal, gradient = _linearize(reference, observations, image, pose, move)
    cost = cost + prior * (move**2).sum(1)
    for _ in range(n_steps):
        system = normal + ridge
        diagonal = torch.diagonal(system, dim1=1, dim2=2)
        system = system + torch.diag_embed(damping[:, None] * diagonal + 1e-12)
        right = gradient.clone()
        right[:, 3:] -= prior * move
        step = torch.linalg.solve(system, right)
        angle = step[:, :3].norm(dim=1).clamp(min=1e-12)
        step = step * (largest / angle).clamp(max=1)[:, None]
        trial, trial_move = pose @ rotation_from_vector(step[:, :3]), move + step[:, 3:]
        trial_cost, trial_normal, trial_gradient = _linearize(
            reference, observations, image, trial, trial_move
        )
        trial_cost = trial_cost + prior * (trial_move**2).sum(1)
        better = trial_cost < cost
        pose = torch.where(better[:, None, None], trial, pose)
        move = torch.where(better[:, None], trial_move, move)
        cost = torch.where(better, trial_cost, cost)
        normal = torch.where(better[:, None, None], trial_normal, normal)
        gradient = torch.where(better[:, None], trial_gradient, gradient)
        damping = torch.where(better, damping * 0.3, damping * 5)
    return LocalPoses(pose, move, cost, normal)


def _linearize(
    reference: VolumeTransform,
    observations: Observations,
    image: Int64[Tensor, " m"],
    rotation: Float64[Tensor, "m 3 3"],
    shift_px: Float64[Tensor, "m 2"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Misfit [m], normal matrices [m, 5, 5] and descent directions [m, 5], as ``native.local_pose.linearize``."""
    inverse_sigma2 = observations.inverse_sigma2()
    model, jacobian = _model_and_jacobian(
        reference, observations.transfer[image], rotation, shift_px, observations.pixels
    )
    data = observations.coefficients[image]
    residual = (data - model) * inverse_sigma2
    misfit = (inverse_sigma2 * (model.abs() ** 2 - 2 * (model.conj() * data).real)).sum(
        1, dtype=torch.float64
    )
    gradient = (jacobian.conj() * residual[:, None]).real.sum(2, dtype=torch.float64)
    normal = ((jacobian * inverse_sigma2) @ jacobian.mH).real.to(torch.float64)
    return misfit, normal, gradient


def _model_and_jacobian(
    reference: VolumeTransform,
    transfer: Float32[Tensor, "m n"],
    rotation: Float[Tensor, "m 3 3"],
    shift_px: Float[Tensor, "m 2"],
    pixels: PixelList,
) -> tuple[Complex64[Tensor, "m n"], Complex64[Tensor, "m 5 n"]]:
    """Models C slice(M) exp(+2 pi i k.t / D) and their derivatives by rotation vector (rad) and shift (px).

    The derivative of a trilinear value along an axis is the difference of the upper and the lower four corners,
    each weighted by the two other axes. A point turned by a small v moves by M (v x k): ky along the normal for
    v_x, -kx for v_y, (-ky, kx) in the plane for v_z.
    """
    padding, reach = reference.padding, reference.grid.shape[2] - 1
    axes = rotation.to(torch.float32) * padding
    plane = torch.stack([pixels.kx, pixels.ky])
    position = (axes[:, :, :2] @ plane).mT
    flat, weight, mirrored = trilinear_corners(position, reach)
    corners = reference.grid.view(-1)[flat]
    fraction = torch.where(mirrored[..., None], -position, position)
    fraction = fraction - torch.floor(fraction)
    slopes = []
    for axis in range(3):
        bit = torch.tensor([(c >> axis) & 1 for c in range(8)], device=position.device)
        others = [a for a in range(3) if a != axis]
        side = torch.where(bit == 1, 1.0, -1.0)
        for other in others:
            upper = torch.tensor([(c >> other) & 1 for c in range(8)], device=position.device) == 1
            side = side * torch.where(upper, fraction[..., other, None], 1 - fraction[..., other, None])
        slopes.append((corners * side).sum(-1))
    value = (corners * weight).sum(-1)
    value = torch.where(mirrored, value.conj(), value)
    gradient = torch.stack([torch.where(mirrored, -s.conj(), s) for s in slopes], 1)
    along = axes.mT.to(torch.complex64) @ gradient
    turn = 2 * math.pi / pixels.box_size_px
    angle = turn * (shift_px.to(torch.float32) @ plane)
    phase = torch.polar(transfer, angle)
    model = value * phase
    in_plane = along[:, 1] * pixels.kx - along[:, 0] * pixels.ky
    rotations = [along[:, 2] * pixels.ky, -along[:, 2] * pixels.kx, in_plane]
    columns = [r * phase for r in rotations] + [1j * turn * k * model for k in (pixels.kx, pixels.ky)]
    return model, torch.stack(columns, 1)
