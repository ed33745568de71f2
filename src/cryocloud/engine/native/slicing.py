"""Trilinear sampling of a cropped, centered half transform [2R+1, 2R+1, R+1] (z, y, x >= 0)."""

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
    """out[s, j] = transform at padding * rotation[s] @ (kx[j], ky[j], 0)."""
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
