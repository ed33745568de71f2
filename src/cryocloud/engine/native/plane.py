"""Weighted sums of grid points of half planes: interpolation of image transforms, and its transpose."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(parallel=True, fastmath=True, cache=True)
def gather_taps(
    grid: NDArray[np.complex64],
    index: NDArray[np.int32],
    weight: NDArray[np.float32],
    mirrored: NDArray[np.bool_],
    out: NDArray[np.complex64],
) -> None:
    """out[i, p] = sum_t weight[p, t] grid[i, index[p, t]], conjugated where the point was mirrored.

    ``grid`` complex64 [k, g] holds k flattened padded half planes, ``index`` and ``weight`` [p, t] the t = 16 grid
    points around a point and their kernel weights, ``mirrored`` [p] whether it stands at its Friedel partner
    (kx < 0), ``out`` is complex64 [k, p]. One thread works on one image; 16 reads of 8 bytes a point.
    """
    for i in numba.prange(grid.shape[0]):
        plane = grid[i]
        for p in range(index.shape[0]):
            real, imag = np.float32(0), np.float32(0)
            for t in range(index.shape[1]):
                value = plane[index[p, t]]
                real += weight[p, t] * value.real
                imag += weight[p, t] * value.imag
            out[i, p] = complex(real, -imag if mirrored[p] else imag)
