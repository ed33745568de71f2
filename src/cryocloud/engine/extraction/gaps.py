"""Positions between the particles, for boxes that hold nothing but background.

They are the null control of a refinement: noise of the same micrographs, extracted and refined like
particles. What resolution it reaches against the same start map is no evidence about the specimen.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.spatial import KDTree

STEPS_PER_DIAMETER = 8
SEPARATION_DIAMETERS = 0.5


def gap_positions(
    picks_xy_px: Float64[np.ndarray, "n 2"],
    *,
    count: int,
    box_size_px: int,
    height_px: int,
    width_px: int,
    diameter_px: float,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "m 2"]:
    """Whole-pixel positions (x, y) as far from all picks as there is room.

    Positions at least one diameter from every pick are drawn at random; where they do not suffice, the
    farthest ones follow. Positions keep half a diameter from each other as long as that gives enough, then
    a quarter, and so on. All boxes lie inside the micrograph; fewer than ``count`` are returned only if it
    has fewer pixels for them.

    Parameters
    ----------
    picks_xy_px
        What to keep away from; particles that were not picked are not known and may lie in a box.
    diameter_px
        Of the particles, in pixels of the micrograph. Positions lie on a grid of an eighth of it.

    Returns
    -------
    array
        float64 [m, 2], m <= ``count``; each is the pixel that becomes D//2 of its box.
    """
    half = box_size_px // 2
    x = np.arange(half, width_px - box_size_px + half + 1)
    y = np.arange(half, height_px - box_size_px + half + 1)
    step = max(1, int(diameter_px / STEPS_PER_DIAMETER))
    while step > 1 and len(x[::step]) * len(y[::step]) < 4 * count:
        step //= 2
    grid = np.stack(np.meshgrid(x[::step], y[::step]), axis=-1).reshape(-1, 2).astype(np.float64)
    grid = rng.permutation(grid)
    distance = KDTree(picks_xy_px).query(grid)[0] if len(picks_xy_px) else np.full(len(grid), np.inf)
    order = np.argsort(-np.minimum(distance, diameter_px), kind="stable")
    grid = grid[order]
    separation = SEPARATION_DIAMETERS * diameter_px
    chosen = _separated(grid, separation, count)
    while len(chosen) < count and separation > step:
        separation /= 2
        chosen = _separated(grid, separation, count)
    return chosen if len(chosen) >= count else grid[:count]


def _separated(
    points: Float64[np.ndarray, "n 2"], separation: float, count: int
) -> Float64[np.ndarray, "m 2"]:
    """The first points, at most ``count``, that keep a distance from those before."""
    blocked = np.zeros(len(points), dtype=bool)
    tree = KDTree(points)
    kept: list[int] = []
    for row in range(len(points)):
        if len(kept) == count:
            break
        if not blocked[row]:
            kept.append(row)
            blocked[tree.query_ball_point(points[row], separation)] = True
    return points[kept]
