"""FSC of half maps within cones of Fourier space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from cryocloud.engine.fourier import half_space, rfftn
from cryocloud.engine.geometry import healpix_directions, rotation_from_euler

_VOXELS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class ConicalFsc:
    """FSC in double cones: ``curve`` float64 [c, r] of shells 0 .. r_max around ``axis`` float64 [c, 3] (xyz).

    The first shells, where a cone holds no voxel, have the FSC of the whole shell.
    """

    axis: Tensor
    curve: Tensor

    def area_ratio(self, threshold: float = 0.143) -> float:
        """Smallest over largest area under the curves, each up to where it first falls below the threshold.

        1 is isotropic; below 0.5 the map is blurred in some directions (cryoSPARC's cFAR).
        """
        below = self.curve[:, 1:] < threshold
        alive = torch.cumsum(below.to(torch.int64), 1) == 0
        area = (self.curve[:, 1:].clamp(min=0) * alive).sum(1)
        return float(area.min() / area.max().clamp(min=1e-12))


def conical_fsc(
    half_map_1: Float32[Tensor, "d d d"],
    half_map_2: Float32[Tensor, "d d d"],
    *,
    r_max_px: int | None = None,
    half_angle_deg: float = 20.0,
    order: int = 2,
) -> ConicalFsc:
    """FSC in double cones around directions spread evenly over a half sphere.

    Parameters
    ----------
    half_map_1, half_map_2
        Independent maps, masked alike.
    r_max_px
        Last shell; default D//2 - 1.
    half_angle_deg
        Opening of the cones.
    order
        HEALPix order of the axes: 96 at order 2, 384 at 3.

    References
    ----------
    Tan et al. 2017, Nat. Methods 14:793.
    """
    box = half_map_1.shape[0]
    limit = box // 2 - 1 if r_max_px is None else min(r_max_px, box // 2 - 1)
    axis = _half_sphere(order).to(half_map_1.device)
    space = half_space(box, limit, half_map_1.device)
    direction = space.points / space.points.norm(dim=1, keepdim=True)
    a, b = (rfftn(half).flatten()[space.flat_index] for half in (half_map_1, half_map_2))
    products = torch.stack([(a * b.conj()).real, a.abs() ** 2, b.abs() ** 2], 1).to(torch.float64)
    sums = torch.zeros(limit + 1, len(axis), 3, dtype=torch.float64, device=axis.device)
    ends = torch.bincount(space.shell, minlength=limit + 1).cumsum(0).tolist()
    cosine = math.cos(math.radians(half_angle_deg))
    for r in range(1, limit + 1):
        for start in range(ends[r - 1], ends[r], _VOXELS_AT_ONCE):
            part = slice(start, min(start + _VOXELS_AT_ONCE, ends[r]))
            in_cone = ((direction[part] @ axis.T.to(torch.float32)).abs() >= cosine).to(torch.float64)
            sums[r] += in_cone.T @ products[part]
    whole = torch.zeros(limit + 1, 3, dtype=torch.float64, device=axis.device).index_add_(
        0, space.shell, products
    )
    cross, power_a, power_b = torch.where(sums[:, :, 1:2] > 0, sums, whole[:, None]).unbind(2)
    curve = (cross / (power_a * power_b).sqrt().clamp(min=1e-300)).T.contiguous()
    curve[:, 0] = 1.0
    return ConicalFsc(axis, curve)


def _half_sphere(order: int) -> Float64[Tensor, "c 3"]:
    rot_deg, tilt_deg = healpix_directions(order)
    axis = rotation_from_euler(rot_deg, tilt_deg, torch.zeros_like(rot_deg))[:, :, 2]
    x, y, z = axis.unbind(1)
    upper = (z > 1e-9) | ((z.abs() <= 1e-9) & ((y > 1e-9) | ((y.abs() <= 1e-9) & (x > 0))))
    return axis[upper]
