"""Sums of posterior samples over images, one row a reference."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(parallel=True, fastmath=True, cache=True)
def sum_samples(
    images: tuple[NDArray[np.complex64], NDArray[np.float32]],
    ramps: NDArray[np.complex64],
    samples: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
    group_start: NDArray[np.int64],
    data: NDArray[np.complex64],
    weight: NDArray[np.float32],
) -> None:
    """Fill data[g] = sum of probability * weighted * ramp and weight[g] = sum of probability * power.

    ``images`` = (weighted [b, n], power [b, n]), ``samples`` = (image, shift, probability) ordered by group;
    group g owns samples ``group_start[g] .. group_start[g + 1]``.
    """
    image, shift, probability = samples
    for g in numba.prange(len(group_start) - 1):
        data[g] = 0
        weight[g] = 0
        for m in range(group_start[g], group_start[g + 1]):
            x, c, r, p = images[0][image[m]], images[1][image[m]], ramps[shift[m]], probability[m]
            for j in range(x.shape[0]):
                data[g, j] += p * (x[j] * r[j])
                weight[g, j] += p * c[j]
