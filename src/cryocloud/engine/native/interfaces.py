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

    A pair at distance d has min(q^12 - 2 q^6, 5), q = best_distance / d. The cap keeps one clash of the steep
    q^12 from outweighing all contacts, so that a minimizer finds its way out of overlaps.

    Parameters
    ----------
    points
        [n, 3] in Angstrom, about the center of the axes.
    operators
        [g, 3, 3]: interface g is that of the points with their copy turned by operator g.
    best_distance, reach
        Angstrom; pairs further apart than ``reach`` do not count.

    Returns
    -------
    NDArray
        float64 [g], over all n^2 pairs of a point and a copied point. Cost g n^2; most pairs end at the test of x.
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
