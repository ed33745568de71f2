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

    The hundreds of samples of an image are often a few optima and their surroundings; one of each is worth refining.

    Parameters
    ----------
    image
        Image of each of the m samples; the samples of an image stand together, best first.
    rotation
        [m, 3, 3].
    cosine
        Cosine of the angle. The angle between two rotations is that of the single turn from one to the other,
        cos = (trace(A B^T) - 1) / 2: in-plane turns count as much as changes of direction. Symmetry copies are
        different here.
    max_modes
        At most so many are kept an image.
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
