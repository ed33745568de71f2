"""A picture of all class averages with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from cryocloud.jobs.kit.plots import Array, display_limits, panels

_COLUMNS = 10
_GAP_PX = 4
_TILE_IN = 1.05
_LABEL_SHARE = 0.22


def plot_class_montage(
    path: Path,
    averages: Array,
    labels: Sequence[str],
    *,
    frame_colors: Sequence[str] | None = None,
    title: str = "",
) -> None:
    """Save averages [k, d, d] in rows of ten, each with its own contrast, label and, where given, frame."""
    n, edge = len(averages), averages.shape[-1]
    columns = min(_COLUMNS, n)
    rows = -(-n // columns)
    label_px = round(_LABEL_SHARE * edge)
    pitch_x, pitch_y = edge + 2 * _GAP_PX, edge + 2 * _GAP_PX + label_px
    sheet = np.ones((rows * pitch_y, columns * pitch_x), np.float32)
    corners = [
        (k % columns * pitch_x + _GAP_PX, k // columns * pitch_y + _GAP_PX + label_px) for k in range(n)
    ]
    for average, (x, y) in zip(averages, corners, strict=True):
        low, high = display_limits(average, (0.5, 99.5))
        sheet[y : y + edge, x : x + edge] = np.clip((average - low) / (high - low), 0, 1)
    size_in = (_TILE_IN * columns, _TILE_IN * rows * pitch_y / pitch_x + 0.3)
    with panels(path, size_in=size_in, title=title) as axes:
        cell = axes[0, 0]
        cell.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        cell.set_axis_off()
        for index, (x, y) in enumerate(corners):
            cell.text(x + edge / 2, y - _GAP_PX, labels[index], ha="center", va="bottom", fontsize=6)
            if frame_colors is not None:
                frame = Rectangle((x - 1.5, y - 1.5), edge + 2, edge + 2, fill=False, linewidth=1.6)
                frame.set_edgecolor(frame_colors[index])
                cell.add_patch(frame)
