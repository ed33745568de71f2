"""Compiled accumulation of Gaussian atoms on a grid."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]

REACH_SIGMAS = 5.5


@njit(cache=True)
def add_gaussians(grid: NDArray[np.float32], position_px: Float, sigma_px: Float, weight: Float) -> None:
    """Add normalized Gaussians of integral ``weight`` [n] to ``grid`` [z, y, x], in place and periodically.

    grid(r) += weight (2 pi sigma^2)^(-3/2) exp(-|r - position|^2 / (2 sigma^2)), sampled at the voxels of a cube.

    Parameters
    ----------
    position_px
        [n, 3] xyz in grid units from voxel 0.
    sigma_px
        [n], in grid units. Below about one voxel the samples no longer stand for the integral; callers blur first.

    Notes
    -----
    A Gaussian is cut at 5.5 sigma, where it has fallen to 3e-7 of its peak. It is a product of three profiles, so
    an atom takes 3 L exponentials and L^3 additions, L = 11 sigma + 1.
    """
    size = grid.shape[0]
    longest = 2 * math.ceil(REACH_SIGMAS * sigma_px.max()) + 2
    profile, index = np.empty((3, longest)), np.empty((3, longest), np.int64)
    for atom in range(len(position_px)):
        sigma = sigma_px[atom]
        reach = math.ceil(REACH_SIGMAS * sigma)
        count = 2 * reach + 1
        scale = 1 / (math.sqrt(2 * math.pi) * sigma)
        for axis in range(3):
            nearest = round(position_px[atom, axis])
            for i in range(count):
                place = nearest - reach + i
                offset = (place - position_px[atom, axis]) / sigma
                profile[axis, i] = scale * math.exp(-0.5 * offset * offset)
                index[axis, i] = place % size
        for iz in range(count):
            wz = weight[atom] * profile[2, iz]
            for iy in range(count):
                wzy = wz * profile[1, iy]
                row = grid[index[2, iz], index[1, iy]]
                for ix in range(count):
                    row[index[0, ix]] += wzy * profile[0, ix]
