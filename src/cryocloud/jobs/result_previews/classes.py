"""Class averages as one picture of tiles, and what is known of each class."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import open_mrc, read_mrc_header
from cryocloud.engine.io.name_gate import is_readable_file
from cryocloud.engine.io.star import read_star
from cryocloud.jobs.result_previews.order import Order

TILE_PX = 128
COLUMNS = 10
CLASSES_MAX = 600
EDGE_MAX_PX = 1024
TABLE_BYTES_MAX = 16 << 20
COLUMNS_OF_CLASSES = {
    "rlnClassDistribution": "share",
    "rlnEstimatedResolution": "resolution_angstrom",
    "rlnClassScore": "score",
    "cryocloudClassParticles": "particles",
}


def preview_classes(order: Order) -> dict[str, Any]:
    """Averages of this job; for a selection, those of the classification it selected from."""
    selection = order.folder / "selection.csv"
    folders = (order.folder, *order.upstream) if is_readable_file(selection) else (order.folder,)
    folder = next((place for place in folders if is_readable_file(place / "classes.mrcs")), None)
    if folder is None:
        return {}
    try:
        stack = folder / "classes.mrcs"
        shape = read_mrc_header(stack).shape_zyx
        if max(shape[1:]) > EDGE_MAX_PX:
            raise InputError(f"classes.mrcs: images of {shape[2]} px are larger than {EDGE_MAX_PX} px")
        averages = open_mrc(stack)[:CLASSES_MAX]
        rows = _rows(folder, len(averages))
        _add_selection(rows, selection)
    except (InputError, ValueError) as error:
        return {"problems": [{"file": "classes.mrcs", "reason": str(error)}]}
    Image.fromarray(_sheet(averages)).save(order.out / "classes.png", optimize=True)
    return {
        "classes": {
            "file": "classes.png",
            "tile_px": TILE_PX,
            "columns": COLUMNS,
            "pixel_size_angstrom": read_mrc_header(stack).pixel_size_angstrom * shape[2] / TILE_PX,
            "all": int(shape[0]),
            "rows": rows,
        }
    }


def _sheet(averages: NDArray[Any]) -> NDArray[np.uint8]:
    lines = -(-len(averages) // COLUMNS)
    sheet = np.zeros((lines * TILE_PX, min(COLUMNS, len(averages)) * TILE_PX), np.uint8)
    for index, average in enumerate(averages):
        y, x = (TILE_PX * place for place in divmod(index, COLUMNS))
        sheet[y : y + TILE_PX, x : x + TILE_PX] = tile(np.asarray(average, np.float32))
    return sheet


def tile(average: NDArray[np.float32]) -> NDArray[np.uint8]:
    """One average with a contrast of its own."""
    image = np.nan_to_num(average, posinf=0, neginf=0)
    low, high = np.percentile(image, (0.5, 99.5))
    levels = np.clip((image - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1) * 255
    picture = Image.fromarray(levels.astype(np.float32))
    return np.asarray(picture.resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC).convert("L"))


def _rows(folder: Path, count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"number": index + 1} for index in range(count)]
    path = folder / "classes.star"
    if not is_readable_file(path):
        return rows
    if path.stat().st_size > TABLE_BYTES_MAX:
        raise InputError("classes.star: is too large for a table of classes")
    blocks = read_star(path)
    table = blocks.get("model_classes", next(iter(blocks.values())))
    numbers = table.get("rlnClassNumber", pd.Series(range(1, len(table) + 1)))
    for index, number in enumerate(numbers):
        if not 1 <= int(number) <= count:
            continue
        for column, name in COLUMNS_OF_CLASSES.items():
            value = float(table[column].iloc[index]) if column in table else float("nan")
            if np.isfinite(value):
                rows[int(number) - 1][name] = int(value) if name == "particles" else float(f"{value:.6g}")
    return rows


def _add_selection(rows: list[dict[str, Any]], path: Path) -> None:
    if not is_readable_file(path) or path.stat().st_size > TABLE_BYTES_MAX:
        return
    with path.open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            number = int(line.get("class") or 0)
            if 1 <= number <= len(rows):
                rows[number - 1] |= {"kept": line.get("kept") == "yes", "reason": line.get("reason") or ""}
