"""Curves of STAR files as numbers: Fourier shell correlation, Guinier, and what micrographs and classes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import is_readable_file
from cryocloud.engine.io.star import read_star
from cryocloud.jobs.result_previews.order import Order

POINTS_MAX = 4000
SERIES_MAX = 12
STAR_BYTES_MAX = 64 << 20
NAMES = {
    "rlnFourierShellCorrelationCorrected": "corrected",
    "rlnFourierShellCorrelationUnmaskedMaps": "unmasked",
    "rlnFourierShellCorrelationMaskedMaps": "masked",
    "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps": "phases randomized, masked",
    "rlnFourierShellCorrelation": "correlation",
    "rlnLogAmplitudesOriginal": "as measured",
    "rlnLogAmplitudesWeighted": "weighted by the correlation",
    "rlnLogAmplitudesSharpened": "sharpened",
    "rlnDefocusU": "defocus u",
    "rlnDefocusV": "defocus v",
    "rlnCtfMaxResolution": "resolution of the fit",
}


def preview_curves(order: Order) -> dict[str, Any]:
    """A chart for each file that holds curves; the drawing is the page's."""
    charts: list[dict[str, Any]] = []
    problems: list[dict[str, str]] = []
    for name, read in (("fsc.star", _fsc_charts), ("micrographs.star", _micrograph_charts)):
        path = order.folder / name
        if not is_readable_file(path):
            continue
        try:
            charts += read(_blocks(path))
        except InputError as error:
            problems.append({"file": name, "reason": str(error)})
    return {"charts": charts, "problems": problems}


def _blocks(path: Path) -> dict[str, pd.DataFrame]:
    if path.stat().st_size > STAR_BYTES_MAX:
        raise InputError(f"{path.name}: {path.stat().st_size:,} bytes are more than curves can be drawn of")
    return read_star(path)


def _fsc_charts(blocks: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    charts = []
    table = blocks.get("fsc")
    if table is not None and "rlnResolution" in table:
        chart = _chart("fsc", "Fourier shell correlation", table, "rlnResolution", "Correlation")
        charts.append(
            chart | {"x_kind": "frequency", "x_label": "Resolution (Å)", "thresholds": [0.143, 0.5]}
        )
    table = blocks.get("guinier")
    if table is not None and "rlnResolutionSquared" in table:
        chart = _chart("guinier", "Guinier plot", table, "rlnResolutionSquared", "ln(amplitude)")
        charts.append(chart | {"x_kind": "squared_frequency", "x_label": "1 / resolution² (1/Å²)"})
    return charts


def _micrograph_charts(blocks: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    table = blocks.get("micrographs")
    if table is None or "rlnCtfMaxResolution" not in table or "rlnDefocusU" not in table:
        return []
    table = table.assign(number=np.arange(1, len(table) + 1))
    plain = {"x_kind": "number", "x_label": "Micrograph", "points": True}
    defocus = _chart("defocus", "Defocus", table, "number", "Defocus (Å)", ("rlnDefocusU", "rlnDefocusV"))
    limit = _chart(
        "ctf", "Resolution of the CTF fit", table, "number", "Resolution (Å)", ("rlnCtfMaxResolution",)
    )
    return [defocus | plain, limit | plain]


def _chart(
    name: str, title: str, table: pd.DataFrame, x: str, y_label: str, columns: tuple[str, ...] = ()
) -> dict[str, Any]:
    wanted = [column for column in columns or NAMES if column in table.columns and column != x][:SERIES_MAX]
    stride = -(-len(table) // POINTS_MAX) or 1
    return {
        "name": name,
        "title": title,
        "y_label": y_label,
        "x": numbers(table[x], stride),
        "series": [{"name": NAMES[column], "y": numbers(table[column], stride)} for column in wanted],
        "every": stride,
    }


def numbers(column: pd.Series, stride: int = 1) -> list[float | None]:
    """As JSON can hold them: six digits, and None for what is not a number."""
    values: NDArray[np.float64] = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)[::stride]
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
