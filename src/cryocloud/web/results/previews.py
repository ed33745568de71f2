"""Rows of the tables that stand beside every picture, from the index that ``make_previews`` wrote."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryocloud.web.core.errors import NotFound
from cryocloud.web.results.files import preview_folder_of
from cryocloud.web.runs.models import Job

MEDIA_TYPES = {
    "json": "application/json",
    "png": "image/png",
    "webp": "image/webp",
    "mrc": "application/octet-stream",
    "bin": "application/octet-stream",
}
_NAME = re.compile(r"[a-z0-9_]{1,80}\.(json|png|webp|mrc|bin)", re.ASCII)


def is_preview_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def preview_file(job: Job, name: str) -> tuple[Path, str]:
    """A preview and its media type."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise NotFound
    return preview_folder_of(job) / name, MEDIA_TYPES[match.group(1)]


def chart_tables(index: dict[str, Any]) -> list[dict[str, Any]]:
    """Each chart as a table: a heading and rows of numbers."""
    return [_chart_table(chart) for chart in index.get("charts", [])]


def _chart_table(chart: dict[str, Any]) -> dict[str, Any]:
    columns = [chart["x"], *(series["y"] for series in chart["series"])]
    heads = [chart["x_label"], *(series["name"] for series in chart["series"])]
    shown = _resolution if chart.get("x_kind") == "frequency" else _number
    rows = [[shown(x), *(_number(y) for y in ys)] for x, *ys in zip(*columns, strict=True)]
    return {
        "name": chart["name"],
        "title": chart["title"],
        "heads": heads,
        "rows": rows,
        "crossings": _crossings(chart),
    }


def _crossings(chart: dict[str, Any]) -> list[dict[str, str]]:
    """Where each curve first falls below each threshold."""
    return [
        {
            "series": series["name"],
            "threshold": f"{threshold:g}",
            "at": _crossing(chart["x"], series["y"], threshold),
        }
        for threshold in chart.get("thresholds", [])
        for series in chart["series"]
    ]


def _crossing(frequencies: list[float | None], values: list[float | None], threshold: float) -> str:
    """Interpolated between the two shells beside it, in Å."""
    shells = [(x, y) for x, y in zip(frequencies, values, strict=True) if x is not None and y is not None]
    for (x1, y1), (x2, y2) in pairwise(shells[1:]):
        if y1 >= threshold > y2:
            return f"{1 / (x1 + (x2 - x1) * (y1 - threshold) / (y1 - y2)):.2f} Å"
    return "not reached"


def _resolution(frequency: float | None) -> str:
    return f"{1 / frequency:.2f}" if frequency else "∞"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def finest_detail_angstrom(index: dict[str, Any]) -> float | None:
    """Two pixels of the first map: no map has finer detail."""
    maps = index.get("maps", [])
    return 2 * float(maps[0]["true_pixel_size_angstrom"]) if maps else None


def orientation_rows(index: dict[str, Any]) -> list[dict[str, Any]]:
    """Particles by angle from the top view, in six bands of equal area."""
    found = index.get("orientations")
    if not found:
        return []
    heights, azimuths, counts = found["heights"], found["azimuths"], found["counts"]
    step = heights // 6
    bands = []
    for first in range(0, heights, step):
        cells = counts[first * azimuths : (first + step) * azimuths]
        bands.append(
            {
                "from": 1 - 2 * first / heights,
                "to": 1 - 2 * (first + step) / heights,
                "particles": sum(cells),
                "empty": sum(cell == 0 for cell in cells) / len(cells),
            }
        )
    return bands
