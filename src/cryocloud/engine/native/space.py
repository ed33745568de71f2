"""Kaiser-Bessel sampling of a cropped, centered half transform [2R+1, 2R+1, R+2] (z, y, x from -1)."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

TAPS = 4


@numba.njit(parallel=True, fastmath=True, cache=True)
def sample_rotated(
    grid: NDArray[np.complex64],
    rotation: NDArray[np.float32],
    points: NDArray[np.float32],
    padding: float,
    table: NDArray[np.float32],
    out: NDArray[np.complex64],
) -> None:
    """out[s, p] = transform at padding * rotation[s] @ points[p], as a weighted sum of 4 x 4 x 4 grid points.

    Parameters
    ----------
    grid
        complex64 [2R+1, 2R+1, R+2], zero frequency at [R, R, 1]. The column x = -1 spares a test: taps of a point
        with 0 <= x < 1 start there.
    rotation
        [s, 3, 3] on xyz columns.
    points
        [p, 3] xyz in units of 1/D.
    padding
        Grid points to one frequency.
    table
        The kernel at distances 0 .. 2 grid points in equal steps, with one entry to spare; between entries it is
        interpolated linearly, which is much quicker than Bessel functions.
    out
        complex64 [s, p].

    Notes
    -----
    The kernel is a product of one weight an axis: 12 weights and 64 complex values of 8 bytes for a point. Points
    with x < 0 are read at their Friedel partner and conjugated.
    """
    reach = grid.shape[0] // 2
    per_step = (len(table) - 2) / 2
    for s in numba.prange(rotation.shape[0]):
        m = rotation[s]
        weight, start = np.empty((3, TAPS), np.float32), np.empty(3, np.int64)
        for p in range(points.shape[0]):
            x = padding * (m[0, 0] * points[p, 0] + m[0, 1] * points[p, 1] + m[0, 2] * points[p, 2])
            y = padding * (m[1, 0] * points[p, 0] + m[1, 1] * points[p, 1] + m[1, 2] * points[p, 2])
            z = padding * (m[2, 0] * points[p, 0] + m[2, 1] * points[p, 1] + m[2, 2] * points[p, 2])
            sign = np.float32(1)
            if x < 0:
                x, y, z, sign = -x, -y, -z, np.float32(-1)
            for axis, position in enumerate((x, y, z)):
                base = math.floor(position) - 1
                start[axis] = base
                for tap in range(TAPS):
                    place = abs(position - (base + tap)) * per_step
                    below = int(place)
                    part = np.float32(place - below)
                    weight[axis, tap] = table[below] * (1 - part) + table[below + 1] * part
            real, imag = np.float32(0), np.float32(0)
            column = start[0] + 1
            w0, w1, w2, w3 = weight[0, 0], weight[0, 1], weight[0, 2], weight[0, 3]
            for iz in range(TAPS):
                for iy in range(TAPS):
                    row = grid[start[2] + reach + iz, start[1] + reach + iy]
                    a, b, c, d = row[column], row[column + 1], row[column + 2], row[column + 3]
                    w = weight[2, iz] * weight[1, iy]
                    real += w * (w0 * a.real + w1 * b.real + w2 * c.real + w3 * d.real)
                    imag += w * (w0 * a.imag + w1 * b.imag + w2 * c.imag + w3 * d.imag)
            out[s, p] = complex(real, sign * imag)
