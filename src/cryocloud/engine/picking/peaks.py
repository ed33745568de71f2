"""Local maxima of a score image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Shaped
from scipy.spatial import KDTree
from torch import Tensor


@dataclass(frozen=True)
class Peaks:
    """Peaks in order of falling score.

    Attributes
    ----------
    xy_px
        Position [n, 2] (x, y) to a fraction of a pixel of the score image.
    score
        Value at the highest pixel.
    pixel_xy
        That pixel [n, 2].
    """

    xy_px: Float64[np.ndarray, "n 2"]
    score: Float64[np.ndarray, " n"]
    pixel_xy: Int64[np.ndarray, "n 2"]

    def __len__(self) -> int:
        return len(self.score)

    def select(self, rows: np.ndarray) -> Peaks:
        """The peaks at ``rows`` (numbers or a mask)."""
        return Peaks(self.xy_px[rows], self.score[rows], self.pixel_xy[rows])


def find_peaks(score: Float32[Tensor, "h w"], *, min_distance_px: float) -> Peaks:
    """Local maxima that are the highest within ``min_distance_px``.

    The highest peak goes first and removes its neighbors. A parabola through three pixels along each axis
    gives the fraction. The outermost pixels hold no peaks.
    """
    pooled = torch.nn.functional.max_pool2d(score[None, None], 3, stride=1, padding=1)[0, 0]
    y, x = (axis.cpu().numpy() for axis in torch.nonzero(score == pooled, as_tuple=True))
    values = score.cpu().numpy()
    height, width = score.shape
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    x, y = x[inner], y[inner]
    order = np.argsort(-values[y, x], kind="stable")
    x, y = x[order], y[order]
    kept = _highest_within(np.stack([x, y], axis=1).astype(np.float64), min_distance_px)
    x, y = x[kept], y[kept]
    xy = np.stack([x + _fraction(values, y, x, 0, 1), y + _fraction(values, y, x, 1, 0)], axis=1)
    return Peaks(xy, values[y, x].astype(np.float64), np.stack([x, y], axis=1).astype(np.int64))


def values_at(peaks: Peaks, picture: Shaped[Tensor, "h w"]) -> Shaped[np.ndarray, " n"]:
    """Values of a picture of the same size at the peaks' pixels."""
    x, y = peaks.pixel_xy.T
    values: Shaped[np.ndarray, " n"] = picture.cpu().numpy()[y, x]
    return values


def _highest_within(xy: Float64[np.ndarray, "n 2"], distance: float) -> Int64[np.ndarray, " k"]:
    """Rows that survive when each kept point, in the given order, removes its neighbors."""
    if len(xy) == 0:
        return np.zeros(0, dtype=np.int64)
    neighbors = KDTree(xy).query_ball_point(xy, distance)
    alive = np.ones(len(xy), dtype=bool)
    for row, near in enumerate(neighbors):
        if alive[row]:
            alive[near] = False
            alive[row] = True
    return np.flatnonzero(alive).astype(np.int64)


def _fraction(
    values: np.ndarray, y: np.ndarray, x: np.ndarray, step_y: int, step_x: int
) -> Float64[np.ndarray, " n"]:
    """Offset of a parabola's top from the middle of three pixels."""
    before = values[y - step_y, x - step_x].astype(np.float64)
    middle = values[y, x].astype(np.float64)
    after = values[y + step_y, x + step_x].astype(np.float64)
    curvature = before - 2 * middle + after
    offset = np.where(curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-12), 0.0)
    return np.clip(offset, -0.5, 0.5)
