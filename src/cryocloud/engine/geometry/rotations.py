"""Rotation matrices, float64, acting on xyz column vectors.

A pose M turns the axes of an image into the map: the image's plane is the slice F3(M [kx, ky, 0]), M's third
column is the direction of view, and an operator g of the map's point group acts from the left, M ~ g M.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor


def rotation_from_euler(rot_deg: Tensor, tilt_deg: Tensor, psi_deg: Tensor) -> Float64[Tensor, "n 3 3"]:
    """Matrices M = Rz(rot) Ry(tilt) Rz(psi) of RELION's Euler angles.

    Parameters
    ----------
    rot_deg, tilt_deg, psi_deg
        Angles in degrees, shape [n].

    Returns
    -------
    Tensor
        float64 [n, 3, 3]; an image's Fourier plane is F2(k) = F3(M [kx, ky, 0]). RELION's own matrix is
        the transpose of M.
    """
    a, b, c = (torch.deg2rad(torch.as_tensor(x, dtype=torch.float64)) for x in (rot_deg, tilt_deg, psi_deg))
    return _about_z(a) @ _about_y(b) @ _about_z(c)


def euler_from_rotation(rotation: Float64[Tensor, "n 3 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles (rot, tilt, psi) in degrees, tilt in [0, 180], the others in (-180, 180].

    At tilt 0 and 180, where only one combination of rot and psi matters, rot is 0.
    """
    tilt = torch.arccos(rotation[:, 2, 2].clamp(-1, 1))
    sine = torch.hypot(rotation[:, 0, 2], rotation[:, 1, 2])
    pole = sine < 1e-7
    rot = torch.where(pole, 0.0, torch.arctan2(rotation[:, 1, 2], rotation[:, 0, 2]))
    psi_regular = torch.arctan2(rotation[:, 2, 1], -rotation[:, 2, 0])
    psi_pole = torch.arctan2(rotation[:, 1, 0], rotation[:, 1, 1])
    psi = torch.where(pole, psi_pole, psi_regular)
    return torch.rad2deg(rot), torch.rad2deg(tilt), torch.rad2deg(psi)


def rotation_from_vector(vector_rad: Float64[Tensor, "n 3"]) -> Float64[Tensor, "n 3 3"]:
    """Rotation by |v| radians about the axis v (Rodrigues' formula), 1 for v = 0.

    exp([v]x) = 1 + sin(a)/a [v]x + (1 - cos a)/a^2 [v]x^2 with a = |v| and [v]x the matrix of the cross product.
    From the right, M exp([v]x) turns about the image's axes; from the left, exp([v]x) M about the map's.
    """
    angle = vector_rad.norm(dim=1)[:, None, None]
    x, y, z = vector_rad.unbind(1)
    o = torch.zeros_like(x)
    cross = torch.stack([o, -z, y, z, o, -x, -y, x, o], 1).view(-1, 3, 3)
    sinc = torch.sinc(angle / torch.pi)
    half = 0.5 * torch.sinc(angle / (2 * torch.pi)) ** 2
    return (
        torch.eye(3, dtype=vector_rad.dtype, device=vector_rad.device) + sinc * cross + half * cross @ cross
    )


def random_rotations(n: int, generator: torch.Generator) -> Float64[Tensor, "n 3 3"]:
    """Draw n rotations uniform on SO(3), on the generator's device.

    From unit quaternions: four normal deviates divided by their length are uniform on the sphere of four
    dimensions (Muller 1959, Comm. ACM 2:19). Uniform Euler angles would crowd at the poles.
    """
    q = torch.randn(n, 4, generator=generator, dtype=torch.float64, device=generator.device)
    w, x, y, z = (q / q.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, 1).view(n, 3, 3)


def angular_distance_deg(
    a: Float64[Tensor, "n 3 3"],
    b: Float64[Tensor, "n 3 3"],
    operators: Float64[Tensor, "g 3 3"] | None = None,
) -> Float64[Tensor, " n"]:
    """Angle between rotations a and b; the smallest over the symmetry copies g a where operators are given.

    cos = (trace(g a b^T) - 1) / 2: one turn that takes the whole frame of b to that of a, in-plane angle included,
    from 0 to 180 degrees.
    """
    copies = torch.eye(3, dtype=a.dtype, device=a.device)[None] if operators is None else operators
    trace = torch.einsum("gij,njk,nik->ng", copies, a, b).amax(1)
    return torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))


def _about_z(angle_rad: Tensor) -> Tensor:
    c, s, o, i = (
        torch.cos(angle_rad),
        torch.sin(angle_rad),
        torch.zeros_like(angle_rad),
        torch.ones_like(angle_rad),
    )
    return torch.stack([c, -s, o, s, c, o, o, o, i], -1).view(-1, 3, 3)


def _about_y(angle_rad: Tensor) -> Tensor:
    c, s, o, i = (
        torch.cos(angle_rad),
        torch.sin(angle_rad),
        torch.zeros_like(angle_rad),
        torch.ones_like(angle_rad),
    )
    return torch.stack([c, o, s, o, i, o, -s, o, c], -1).view(-1, 3, 3)
