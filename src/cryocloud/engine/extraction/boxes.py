"""Where boxes lie, and their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Num

from cryocloud.engine.errors import InputError


@dataclass(frozen=True)
class BoxPlacement:
    """Boxes of n positions in one micrograph.

    Attributes
    ----------
    center_px
        Whole pixel (x, y) that becomes pixel D//2 of the box.
    origin_px
        RELION's origin in pixels of the micrograph: minus the displacement of the position from
        ``center_px``, at most half a pixel.
    inside
        Whether the whole box lies in the micrograph.
    """

    center_px: Int64[np.ndarray, "n 2"]
    origin_px: Float64[np.ndarray, "n 2"]
    inside: Bool[np.ndarray, " n"]


def place_boxes(
    xy_px: Float64[np.ndarray, "n 2"], *, box_size_px: int, height_px: int, width_px: int
) -> BoxPlacement:
    """Boxes around positions (x, y), pixel centers at whole numbers from 0.

    Raises
    ------
    InputError
        The box is larger than the micrograph.
    """
    if box_size_px > min(height_px, width_px):
        raise InputError(
            f"box of {box_size_px} px is larger than the micrograph of {width_px} x {height_px} px; give a "
            f"--box-size-px of at most {min(height_px, width_px)}"
        )
    center = np.floor(xy_px + 0.5).astype(np.int64)
    first = center - box_size_px // 2
    end = first + box_size_px
    inside = (first >= 0).all(1) & (end[:, 0] <= width_px) & (end[:, 1] <= height_px)
    return BoxPlacement(center, center - xy_px, inside)


def cut_boxes(
    micrograph: Num[np.ndarray, "h w"], center_px: Int64[np.ndarray, "n 2"], box_size_px: int
) -> Float32[np.ndarray, "n d d"]:
    """Pixels of boxes that lie inside the micrograph, which may be memory-mapped and of any number type.

    Raises
    ------
    InputError
        Pixels that are not finite.
    """
    boxes = np.empty((len(center_px), box_size_px, box_size_px), dtype=np.float32)
    for row, (x, y) in enumerate(center_px - box_size_px // 2):
        boxes[row] = micrograph[y : y + box_size_px, x : x + box_size_px]
    bad = int((~np.isfinite(boxes)).sum())
    if bad:
        raise InputError(f"{bad:,} pixels within the boxes are NaN or infinite; make the micrograph again")
    return boxes
