"""Trilinear sampling of a cropped, centered half transform [2R+1, 2R+1, R+1] (z, y, x >= 0).

Interpolating on a grid is convolving with a triangle along each axis, which multiplies the object by sinc^2;
``reconstruction.volume_transform`` divides by that first.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(parallel=True, fastmath=True, cache=True)
def slice_trilinear(
    transform: NDArray[np.complex64],
    rotation: NDArray[np.float32],
    kx: NDArray[np.float32],
    ky: NDArray[np.float32],
    padding: float,
    out: NDArray[np.complex64],
) -> None:
    """out[s, j] = transform at padding * rotation[s] @ (kx[j], ky[j], 0).

    That is the projection theorem: the transform of the projection along the rotated z axis is the central slice
    that the rotation turns the image plane onto. Points with x < 0 are read at their Friedel partner and conjugated.

    Parameters
    ----------
    transform
        complex64 [2R+1, 2R+1, R+1], zero frequency at [R, R, 0].
    rotation
        [s, 3, 3], from map to image as ``M`` in F2(k) = F3(M [kx, ky, 0]), on xyz columns.
    kx, ky
        Frequencies of the image [n] in units of 1/D; padding * |k| must stay below R.
    padding
        Grid points to one image frequency.
    out
        complex64 [s, n].

    Notes
    -----
    8 voxels of 8 bytes are read for a pixel; one thread works on one slice.
    """
    reach = transform.shape[2] - 1
    for s in numba.prange(rotation.shape[0]):
        m = rotation[s]
        ax, ay, az = m[0, 0] * padding, m[1, 0] * padding, m[2, 0] * padding
        bx, by, bz = m[0, 1] * padding, m[1, 1] * padding, m[2, 1] * padding
        for j in range(kx.shape[0]):
            x = ax * kx[j] + bx * ky[j]
            y = ay * kx[j] + by * ky[j]
            z = az * kx[j] + bz * ky[j]
            sign = np.float32(1.0)
            if x < 0:
                x, y, z, sign = -x, -y, -z, np.float32(-1.0)
            x0, y0, z0 = int(x), math.floor(y), math.floor(z)
            fx, fy, fz = np.float32(x - x0), np.float32(y - y0), np.float32(z - z0)
            y0, z0 = int(y0) + reach, int(z0) + reach
            low = (transform[z0, y0, x0] * (1 - fx) + transform[z0, y0, x0 + 1] * fx) * (1 - fy) + (
                transform[z0, y0 + 1, x0] * (1 - fx) + transform[z0, y0 + 1, x0 + 1] * fx
            ) * fy
            high = (transform[z0 + 1, y0, x0] * (1 - fx) + transform[z0 + 1, y0, x0 + 1] * fx) * (1 - fy) + (
                transform[z0 + 1, y0 + 1, x0] * (1 - fx) + transform[z0 + 1, y0 + 1, x0 + 1] * fx
            ) * fy
            value = low * (1 - fz) + high * fz
            out[s, j] = complex(value.real, sign * value.imag)
