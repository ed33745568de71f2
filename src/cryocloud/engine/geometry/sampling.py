"""Grids of directions, rotations and shifts."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from cryocloud.engine.geometry.rotations import rotation_from_euler


def healpix_directions(order: int) -> tuple[Tensor, Tensor]:
    """Centers of the 12 * 4^order equal-area HEALPix pixels (ring numbering).

    Returns
    -------
    rot_deg, tilt_deg
        float64 [12 * 4^order]; the spacing is about 58.6 / 2^order degrees.

    References
    ----------
    Gorski et al. 2005, ApJ 622:759, equations 4-9.
    """
    n_side = 2**order
    rots, cosines = [], []
    for ring in range(1, 4 * n_side):
        if ring < n_side:
            count, cosine, offset = 4 * ring, 1 - ring**2 / (3 * n_side**2), 0.5
        elif ring <= 3 * n_side:
            count, cosine = 4 * n_side, 4 / 3 - 2 * ring / (3 * n_side)
            offset = 0.5 if (ring - n_side) % 2 == 0 else 0.0
        else:
            mirrored = 4 * n_side - ring
            count, cosine, offset = 4 * mirrored, mirrored**2 / (3 * n_side**2) - 1, 0.5
        rots.append((torch.arange(count, dtype=torch.float64) + offset) * 360 / count)
        cosines.append(torch.full((count,), cosine, dtype=torch.float64))
    return torch.cat(rots), torch.rad2deg(torch.arccos(torch.cat(cosines)))


def rotation_grid(
    order: int,
    operators: Float64[Tensor, "g 3 3"] | None = None,
    perturbation: Float64[Tensor, "3 3"] | None = None,
) -> Float64[Tensor, "s 3 3"]:
    """Rotations on HEALPix directions times 6 * 2^order in-plane angles, direction-major.

    Parameters
    ----------
    order
        0 is 60 degrees apart, each further order halves the step.
    operators
        Point group; one direction of each set of equivalent ones is kept.
    perturbation
        One rotation applied to the whole grid from the left (a fresh one each iteration removes the
        bias towards grid points).
    """
    rot_deg, tilt_deg = healpix_directions(order)
    frames = rotation_from_euler(rot_deg, tilt_deg, torch.zeros_like(rot_deg))
    if perturbation is not None:
        frames = perturbation @ frames
    if operators is not None and len(operators) > 1:
        frames = frames[_one_of_each_orbit(frames[:, :, 2], operators)]
    n_psi = 6 * 2**order
    psi_deg = torch.arange(n_psi, dtype=torch.float64) * 360 / n_psi
    zero = torch.zeros_like(psi_deg)
    in_plane = rotation_from_euler(zero, zero, psi_deg)
    return torch.einsum("nij,pjk->npik", frames, in_plane).reshape(-1, 3, 3)


def shift_grid(radius_px: float, step_px: float) -> Float64[Tensor, "s 2"]:
    """Shifts (x, y) in px on a square lattice inside a disc, the unshifted one first, then by length."""
    reach = math.floor(radius_px / step_px + 1e-9)
    line = torch.arange(-reach, reach + 1, dtype=torch.float64) * step_px
    y, x = torch.meshgrid(line, line, indexing="ij")
    shifts = torch.stack([x.flatten(), y.flatten()], 1)
    length = shifts.norm(dim=1)
    shifts = shifts[length <= radius_px + 1e-9]
    return shifts[torch.argsort(shifts.norm(dim=1), stable=True)]


def _one_of_each_orbit(direction: Tensor, operators: Tensor) -> Tensor:
    """Mask of the directions [n, 3] that lie closest, among their symmetry copies, to a fixed generic direction.

    That is the group's Dirichlet domain; a margin keeps pixels on its border, so nothing is lost there.
    """
    generic = torch.tensor([0.2113, 0.4327, 0.8764], dtype=torch.float64)
    cosines = torch.einsum("gij,nj,i->ng", operators, direction, generic)
    return cosines[:, 0] >= cosines.amax(1) - 1e-6
