"""Pixels that no electron made: hot and dead ones, and lines of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64

# Noise reaches 6 deviations in a micrograph of 10^9 pixels; particles, ice and carbon stay below. Measured on summed
# movies of apoferritin: none beyond 5.6.
OUTLIER_DEVIATIONS = 10.0
# Of 7 x 7 pixels less than half belong to a cluster of 4 x 4, to three lines, or to a crossing of two.
SURROUNDINGS_PX = 7
_SAMPLES = 1 << 18
_PIXELS_AT_A_TIME = 1 << 15


def replace_outliers(image: Float32[np.ndarray, "h w"]) -> tuple[Float32[np.ndarray, "h w"], int]:
    """An image without hot or dead pixels, lines and crossings of lines, and how many there were.

    An outlier differs by more than 10 deviations both from the median of the image and from the median of the 7 x 7
    pixels around it, which takes its place: what is broad, as gold, contamination or the rim of carbon, stays. The
    deviation is that of the middle 90 % of the gray values, so that outliers do not hide themselves. Without outliers
    the image itself is returned; it is never modified.
    """
    median, deviation = _gray_level(image)
    # Of an image that is all one gray, or not finite, nothing can be said.
    if not deviation > 0:
        return image, 0
    limit = OUTLIER_DEVIATIONS * deviation
    y, x = np.nonzero((image > median + limit) | (image < median - limit))
    surroundings = np.concatenate(
        [np.zeros(0, image.dtype)]
        + [
            _surrounding_medians(image, y[part], x[part])
            for part in (
                slice(start, start + _PIXELS_AT_A_TIME) for start in range(0, len(y), _PIXELS_AT_A_TIME)
            )
        ]
    )
    found = np.abs(image[y, x] - surroundings) > limit
    if not found.any():
        return image, 0
    mended = image.copy()
    mended[y[found], x[found]] = surroundings[found]
    return mended, int(found.sum())


def _gray_level(image: Float32[np.ndarray, "h w"]) -> tuple[float, float]:
    """Median and deviation of the middle 90 % of an even sample."""
    # Widths are even: an even step would meet the same few columns in each row.
    sample = image.reshape(-1)[:: max(1, image.size // _SAMPLES) | 1]
    low, median, high = np.percentile(sample, (5, 50, 95))
    return float(median), float(np.clip(sample, low, high).std(dtype=np.float64))


def _surrounding_medians(
    image: Float32[np.ndarray, "h w"], y: Int64[np.ndarray, " n"], x: Int64[np.ndarray, " n"]
) -> Float32[np.ndarray, " n"]:
    """Median of the pixels around each place, mirrored at the edge of the image."""
    offsets = np.arange(SURROUNDINGS_PX) - SURROUNDINGS_PX // 2
    rows, columns = (
        edge - 1 - np.abs(edge - 1 - np.abs(place[:, None] + offsets))
        for place, edge in zip((y, x), image.shape, strict=True)
    )
    around = image[rows[:, :, None], columns[:, None, :]]
    return np.asarray(np.median(around.reshape(len(y), -1), axis=1), dtype=np.float32)
