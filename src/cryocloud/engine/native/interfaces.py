"""Compiled contact energy between a subunit and its symmetry copies."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]

CAP = 5.0


@njit(cache=True)
def interface_energy(points: Float, operators: Float, best_distance: float, reach: float) -> Float:
    """Lennard-Jones energy of each interface [g], -1 a pair at ``best_distance``, at most 5 for a clash.

    ``points`` [n, 3] stand about the center of the axes; pairs further apart than ``reach`` do not count.
    """
    energy = np.zeros(len(operators))
    for g in range(len(operators)):
        copy = points @ operators[g].T
        for i in range(len(points)):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            for j in range(len(copy)):
                dx = copy[j, 0] - x
                if dx > reach or dx < -reach:
                    continue
                dy, dz = copy[j, 1] - y, copy[j, 2] - z
                square = dx * dx + dy * dy + dz * dz
                if square < reach * reach:
                    ratio = (best_distance * best_distance / max(square, 1e-6)) ** 3
                    energy[g] += min(ratio * ratio - 2 * ratio, CAP)
    return energy
