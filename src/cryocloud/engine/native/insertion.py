"""Trilinear spreading of slices into a cropped, centered half grid, and its symmetrization.

The grid [2R+1, 2R+1, R+1] (z, y, x >= 0) has the zero frequency at [R, R, 0]. Spreading is the transpose of
``slicing.slice_trilinear``: what a slice would read with a weight, insertion adds to with the same weight.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(parallel=True, fastmath=True, cache=True)
def insert_trilinear(
    numerator: NDArray[np.complex64],
    weight: NDArray[np.float32],
    data: NDArray[np.complex64],
    data_weight: NDArray[np.float32],
    rotation: NDArray[np.float32],
    kx: NDArray[np.float32],
    ky: NDArray[np.float32],
    padding: float,
    n_slabs: int,
) -> None:
    """Add data[s, j] at padding * rotation[s] @ (kx[j], ky[j], 0); one slab of z planes a thread, so no races.

    A point with x < 0 is added, conjugated, at its Friedel partner. Points on either side of x = 0 share that plane,
    but only what comes from x >= 0 reaches it here: it holds the whole only after the plane's mirror image is added
    (``Accumulator.symmetrized``).

    Parameters
    ----------
    numerator, weight
        Sums complex64 and float32 [2R+1, 2R+1, R+1], written.
    data, data_weight
        C X / sigma^2 with the shift undone, and C^2 / sigma^2, [s, n].
    rotation
        [s, 3, 3] on xyz columns.
    kx, ky
        Integer frequencies [n]; padding * |k| must stay below R.
    padding
        Grid points to one image frequency.
    n_slabs
        Parts of the grid that run in parallel, best one a thread.

    Notes
    -----
    Every slab runs over all points and leaves those of other slabs after computing z. That spares atomic
    additions and a grid for each thread, and a voxel's additions come in the same order for any number of slabs.
    A point touches 8 voxels of 12 bytes, which are read and written; in large boxes cache misses rule.
    """
    reach = weight.shape[2] - 1
    for slab in numba.prange(n_slabs):
        lowest = slab * (2 * reach + 1) // n_slabs
        highest = (slab + 1) * (2 * reach + 1) // n_slabs
        for s in range(rotation.shape[0]):
            m = rotation[s]
            ax, ay, az = m[0, 0] * padding, m[1, 0] * padding, m[2, 0] * padding
            bx, by, bz = m[0, 1] * padding, m[1, 1] * padding, m[2, 1] * padding
            for j in range(kx.shape[0]):
                x = ax * kx[j] + bx * ky[j]
                z = az * kx[j] + bz * ky[j]
                if x < 0:
                    z = -z
                floor_z = math.floor(z)
                z0 = int(floor_z) + reach
                if z0 + 1 < lowest or z0 >= highest:
                    continue
                y = ay * kx[j] + by * ky[j]
                value = data[s, j]
                if x < 0:
                    x, y = -x, -y
                    value = value.conjugate()
                x0, floor_y = int(x), math.floor(y)
                fx, fy, fz = np.float32(x - x0), np.float32(y - floor_y), np.float32(z - floor_z)
                y0 = int(floor_y) + reach
                w = data_weight[s, j]
                for dz in range(2):
                    plane = z0 + dz
                    if plane < lowest or plane >= highest:
                        continue
                    wz = fz if dz else 1 - fz
                    for dy in range(2):
                        wy = wz * (fy if dy else 1 - fy)
                        left, right = wy * (1 - fx), wy * fx
                        numerator[plane, y0 + dy, x0] += value * left
                        numerator[plane, y0 + dy, x0 + 1] += value * right
                        weight[plane, y0 + dy, x0] += w * left
                        weight[plane, y0 + dy, x0 + 1] += w * right


@numba.njit(parallel=True, fastmath=True, cache=True)
def symmetrize_trilinear(
    numerator: NDArray[np.complex64],
    weight: NDArray[np.float32],
    operators: NDArray[np.float32],
    r_max: float,
    numerator_out: NDArray[np.complex64],
    weight_out: NDArray[np.float32],
) -> None:
    """out(k) = sum over operators g of in(g k), for |k| <= r_max grid steps.

    The same as inserting every slice at g M for all g, at the price of one more interpolation. Both sums are
    interpolated alike, so that their quotient stays an average.

    Parameters
    ----------
    numerator, weight
        Sums [2R+1, 2R+1, R+1] whose plane x = 0 is complete, else values next to it come out too small.
    operators
        [g, 3, 3] on xyz, the identity among them.
    r_max
        In grid steps, less than R; voxels beyond are not written.
    numerator_out, weight_out
        Results of the same shapes, other arrays than the inputs, zero before the call.
    """
    reach = weight.shape[2] - 1
    for iz in numba.prange(2 * reach + 1):
        for iy in range(2 * reach + 1):
            for ix in range(reach + 1):
                cz, cy, cx = iz - reach, iy - reach, ix
                if cz * cz + cy * cy + cx * cx > r_max * r_max:
                    continue
                total, total_weight = np.complex64(0), np.float32(0)
                for g in range(operators.shape[0]):
                    m = operators[g]
                    x = m[0, 0] * cx + m[0, 1] * cy + m[0, 2] * cz
                    y = m[1, 0] * cx + m[1, 1] * cy + m[1, 2] * cz
                    z = m[2, 0] * cx + m[2, 1] * cy + m[2, 2] * cz
                    conjugate = x < 0
                    if conjugate:
                        x, y, z = -x, -y, -z
                    x0, floor_y, floor_z = int(x), math.floor(y), math.floor(z)
                    fx, fy, fz = np.float32(x - x0), np.float32(y - floor_y), np.float32(z - floor_z)
                    y0, z0 = int(floor_y) + reach, int(floor_z) + reach
                    value, value_weight = np.complex64(0), np.float32(0)
                    for corner in range(8):
                        dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                        w = (fx if dx else 1 - fx) * (fy if dy else 1 - fy) * (fz if dz else 1 - fz)
                        if w > 1e-6:
                            value += numerator[z0 + dz, y0 + dy, x0 + dx] * w
                            value_weight += weight[z0 + dz, y0 + dy, x0 + dx] * w
                    total += value.conjugate() if conjugate else value
                    total_weight += value_weight
                numerator_out[iz, iy, ix] = total
                weight_out[iz, iy, ix] = total_weight
