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

    What the maximization step inserts for one reference: the images that chose it, shifts undone, by their
    probability. One thread works on one reference.

    Parameters
    ----------
    images
        (weighted = C X / sigma^2 complex64 [b, n], power = C^2 / sigma^2 float32 [b, n]).
    ramps
        exp(-2 pi i k.s / D) for each shift s of the search, complex64 [s, n].
    samples
        (image, shift, probability), [m] each, ordered by group.
    group_start
        [g + 1]: group g owns samples ``group_start[g] .. group_start[g + 1]``.
    data, weight
        complex64 and float32 [g, n], written.
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
