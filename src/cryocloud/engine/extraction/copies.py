"""Positions that stand for one particle twice."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

# Two pickers, or two rounds of centering, find one particle within a few percent of its diameter. Centers of two
# particles lie a whole width apart, and hardly any particle is ten times as long as it is wide.
COPY_DISTANCE_DIAMETERS = 0.1
# Where only the box is known: one of 1.6 diameters is usual.
COPY_DISTANCE_BOXES = 1 / 16


def repeated_positions(
    xy: Float64[np.ndarray, "n 2"], micrograph: Int64[np.ndarray, " n"], distance: float
) -> Int64[np.ndarray, " n"]:
    """For each position the row of the one that it repeats, or -1.

    A position repeats an earlier one of the same micrograph that lies no farther than ``distance`` (unit of ``xy``) and
    repeats none itself. Rows that are no finite numbers repeat nothing.
    """
    of = np.full(len(xy), -1, dtype=np.int64)
    rows = np.flatnonzero(np.isfinite(xy).all(axis=1))
    places = np.column_stack([xy[rows], micrograph[rows]])
    # Equal ones first: a thousand in one place would be a million pairs.
    _, first, inverse = np.unique(places, axis=0, return_index=True, return_inverse=True)
    of[rows] = np.where(first[inverse] == np.arange(len(rows)), -1, rows[first[inverse]])
    first = np.sort(first)
    if len(first) < 2 or distance <= 0:
        return of
    # Micrographs lie above each other, too far apart to be neighbors.
    layers = places[first] * [1.0, 1.0, 2.0 * distance]
    pairs = rows[first[KDTree(layers).query_pairs(distance, output_type="ndarray")]]
    for earlier, later in pairs[np.lexsort(pairs.T)]:
        if of[earlier] == of[later] == -1:
            of[later] = earlier
    return of
