"""Selection of distinct poses from sorted samples."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def distinct_modes(
    image: NDArray[np.int64], rotation: NDArray[np.float64], cosine: float, max_modes: int
) -> NDArray[np.bool_]:
    """Mask of samples (sorted by image, best first) that turn away from every better kept one by more than an angle.

    ``cosine`` is the cosine of that angle; at most ``max_modes`` are kept an image.
    """
    keep = np.zeros(len(image), dtype=np.bool_)
    kept = np.empty(max_modes, dtype=np.int64)
    count = 0
    for m in range(len(image)):
        if m == 0 or image[m] != image[m - 1]:
            count = 0
        if count == max_modes:
            continue
        distinct = True
        for j in range(count):
            trace = 0.0
            for a in range(3):
                for b in range(3):
                    trace += rotation[m, a, b] * rotation[kept[j], a, b]
            if (trace - 1) / 2 > cosine:
                distinct = False
        if distinct:
            keep[m] = True
            kept[count] = m
            count += 1
    return keep
