"""Micrographs with their picks and CTF: a picture of each, and a JSON file that says what lies where on it."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import open_mrc, read_mrc_header
from cryocloud.engine.io.name_gate import find_named_file, is_readable_file, named_file
from cryocloud.engine.io.star import read_star
from cryocloud.jobs.result_previews.order import Order

VIEW_EDGE_PX = 1024
SPECTRUM_EDGE_PX = 512
THUMB_EDGE_PX = 192
EDGE_MAX_PX = 16384
MICROGRAPHS_MAX = 400
PICKS_MAX = 20_000
SCORES_MAX = 500_000
SCORES_FILE = "scores.json"
SCORE_LABEL = "rlnAutopickFigureOfMerit"
STAR_BYTES_MAX = 512 << 20
# Lossy, but the grain of ice is noise already; a picture of 1024 px takes about 300 KB.
WEBP_QUALITY = 60
CTF_LABELS = {
    "rlnDefocusU": "defocus_u_angstrom",
    "rlnDefocusV": "defocus_v_angstrom",
    "rlnDefocusAngle": "defocus_angle_deg",
    "rlnPhaseShift": "phase_shift_deg",
    "rlnCtfMaxResolution": "resolution_angstrom",
}
OPTICS_LABELS = {
    "rlnVoltage": "voltage_kv",
    "rlnSphericalAberration": "spherical_aberration_mm",
    "rlnAmplitudeContrast": "amplitude_contrast",
    "rlnMicrographPixelSize": "pixel_size_angstrom",
}


@dataclass(frozen=True)
class Listed:
    """A micrograph with its rows in a table of picks or of micrographs; names count from the table's folder."""

    folder: Path
    name: str
    rows: pd.DataFrame
    optics: pd.DataFrame

    @property
    def place(self) -> str:
        """The same for one file in two tables, without a look at the disk."""
        return os.path.normpath(self.folder / self.name)


def preview_micrographs(order: Order) -> dict[str, Any]:
    """As many as the time allows, in the order of the list; with those that nothing was picked on."""
    given = (order.folder / "picks.star", order.folder / "micrographs.star")
    path = next((one for one in given if is_readable_file(one)), None)
    if path is None:
        return {}
    try:
        listed = _listed(path)
        if path.name == "picks.star" and order.micrographs is not None:
            listed = _with_empty(listed, _listed(order.micrographs))
    except InputError as error:
        return {"problems": [{"file": path.name, "reason": str(error)}]}
    return _previews(order, listed)


def _listed(path: Path) -> list[Listed]:
    if path.stat().st_size > STAR_BYTES_MAX:
        raise InputError(f"{path.name}: {path.stat().st_size:,} bytes are too many to be shown")
    blocks = read_star(path)
    table = blocks.get("particles", blocks.get("micrographs"))
    if table is None or "rlnMicrographName" not in table:
        raise InputError(f"{path.name}: names no micrographs")
    optics = blocks.get("optics", pd.DataFrame())
    groups = table.groupby("rlnMicrographName", sort=False)
    return [Listed(path.parent, str(name), rows, optics) for name, rows in groups]


def _with_empty(picked: list[Listed], micrographs: list[Listed]) -> list[Listed]:
    """All micrographs of the list in its order, with their picks where there are some."""
    of_place = {one.place: one for one in picked}
    own = {one.place for one in micrographs}
    strangers = [one for one in picked if one.place not in own]
    return [*(of_place.get(one.place, one) for one in micrographs), *strangers]


def _previews(order: Order, listed: list[Listed]) -> dict[str, Any]:
    end_s = time.monotonic() + order.seconds
    shown: list[dict[str, Any]] = []
    problems: list[dict[str, str]] = []
    for number, one in enumerate(listed, 1):
        if len(shown) == MICROGRAPHS_MAX or time.monotonic() > end_s:
            break
        try:
            shown.append(_preview(order, number, one))
        except (InputError, ValueError, OSError) as error:
            problems.append({"file": Path(one.name).name, "reason": str(error)})
    micrographs: dict[str, Any] = {"all": len(listed), "shown": shown}
    if shown:
        micrographs |= _scores(order, listed)
    return {"micrographs": micrographs, "problems": problems[:100]}


def _scores(order: Order, listed: list[Listed]) -> dict[str, Any]:
    """Those of all picks in order, so that the page can say how many reach a threshold."""
    found = [one.rows[SCORE_LABEL] for one in listed if SCORE_LABEL in one.rows]
    numbers = pd.to_numeric(pd.concat(found), errors="coerce").to_numpy(np.float64) if found else np.zeros(0)
    scores = np.sort(numbers[np.isfinite(numbers)])
    if not 0 < len(scores) <= SCORES_MAX:
        return {}
    (order.out / SCORES_FILE).write_text(json.dumps(np.round(scores, 4).tolist()), encoding="utf-8")
    return {"scores": {"file": SCORES_FILE, "picks": len(scores)}}


def _preview(order: Order, number: int, one: Listed) -> dict[str, Any]:
    rows = one.rows
    source = named_file(one.folder, one.name, label="_rlnMicrographName", row=rows.index[0] + 1)
    header = read_mrc_header(source)
    sections, height_px, width_px = header.shape_zyx
    if sections != 1 or max(height_px, width_px) > EDGE_MAX_PX:
        raise InputError(f"{source.name}: {header.shape_zyx} is no micrograph that can be shown")
    view = reduced(np.asarray(open_mrc(source)[0], np.float32), VIEW_EDGE_PX)
    stem = f"micrograph_{number:04d}"
    Image.fromarray(gray(view)).save(order.out / f"{stem}.webp", quality=WEBP_QUALITY)
    thumb = gray(reduced(view, THUMB_EDGE_PX))
    Image.fromarray(thumb).save(order.out / f"{stem}_thumb.webp", quality=WEBP_QUALITY)
    scale = view.shape[1] / width_px
    ctf = _ctf(rows.iloc[0], one.optics)
    facts = {
        "number": number,
        "name": Path(one.name).name,
        "width_px": width_px,
        "height_px": height_px,
        "view": f"{stem}.webp",
        "view_width_px": view.shape[1],
        "view_height_px": view.shape[0],
        "pixel_size_angstrom": ctf.get("pixel_size_angstrom") or header.pixel_size_angstrom,
        "ctf": ctf,
        "spectrum": _spectrum(order, one.folder, rows.iloc[0], stem),
    }
    picks = _picks(rows, scale)
    (order.out / f"{stem}.json").write_text(json.dumps(facts | {"picks": picks}, allow_nan=False))
    short: dict[str, Any] = {
        name: ctf[name] for name in ("defocus_u_angstrom", "resolution_angstrom") if name in ctf
    }
    files = {"file": f"{stem}.json", "thumb": f"{stem}_thumb.webp"}
    return short | files | {"number": number, "name": facts["name"], "picks": len(picks)}


def reduced(image: NDArray[np.float32], edge_px: int) -> NDArray[np.float32]:
    """Averaged down until the longest edge is ``edge_px``."""
    picture = Image.fromarray(np.nan_to_num(image, posinf=0, neginf=0))
    factor = max(picture.size) / edge_px
    if factor <= 1:
        return np.asarray(picture)
    width, height = (max(1, round(edge / factor)) for edge in picture.size)
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX))


def gray(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Gray levels over five deviations to each side; the page narrows that."""
    low, middle, high = np.percentile(image[::4, ::4], (16, 50, 84))
    reach = max(2.5 * (high - low), np.finfo(np.float32).tiny)
    levels: NDArray[np.uint8] = np.clip((image - middle) / reach * 127.5 + 127.5, 0, 255).astype(np.uint8)
    return levels


def _ctf(row: pd.Series, optics: pd.DataFrame) -> dict[str, float]:
    found = _numbers(row, CTF_LABELS)
    if len(optics):
        group = row.get("rlnOpticsGroup", 1)
        same = optics[optics["rlnOpticsGroup"] == group] if "rlnOpticsGroup" in optics else optics
        found |= _numbers((same if len(same) else optics).iloc[0], OPTICS_LABELS)
    return found


def _numbers(row: pd.Series, labels: dict[str, str]) -> dict[str, float]:
    given = {name: row[label] for label, name in labels.items() if label in row}
    return {
        name: float(value)
        for name, value in given.items()
        if isinstance(value, Real) and math.isfinite(value)
    }


def _spectrum(order: Order, folder: Path, row: pd.Series, stem: str) -> dict[str, Any] | None:
    """The power spectrum that the CTF fit kept, its zero frequency in the center."""
    name = row.get("rlnCtfImage")
    if not isinstance(name, str):
        return None
    source = find_named_file(folder, name)
    if source is None:
        return None
    try:
        header = read_mrc_header(source)
        if header.shape_zyx[0] != 1 or max(header.shape_zyx) > 4 * SPECTRUM_EDGE_PX:
            return None
        image = reduced(np.asarray(open_mrc(source)[0], np.float32), SPECTRUM_EDGE_PX)
    except InputError:
        return None
    file = f"{stem}_spectrum.webp"
    low, high = np.percentile(image, (1, 99))
    levels = np.clip((image - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1) * 255
    Image.fromarray(levels.astype(np.uint8)).save(order.out / file, quality=WEBP_QUALITY)
    # Of the spectrum as it was computed: its edge is the sampling frequency, however the picture is reduced.
    return {"file": file, "edge_px": int(image.shape[1]), "pixel_size_angstrom": header.pixel_size_angstrom}


def _picks(rows: pd.DataFrame, scale: float) -> list[list[float]]:
    """x, y in pixels of the view and the score, best first."""
    if "rlnCoordinateX" not in rows:
        return []
    columns = [
        pd.to_numeric(rows[label], errors="coerce") if label in rows else pd.Series(np.ones(len(rows)))
        for label in ("rlnCoordinateX", "rlnCoordinateY", SCORE_LABEL)
    ]
    table = np.stack([column.to_numpy(np.float64) for column in columns], axis=1)
    table = table[np.isfinite(table).all(axis=1)]
    table = table[np.argsort(-table[:, 2], kind="stable")][:PICKS_MAX]
    # Pixel centers are at whole coordinates in both pictures.
    table[:, :2] = (table[:, :2] + 0.5) * scale - 0.5
    return [[round(x, 2), round(y, 2), round(score, 4)] for x, y, score in table.tolist()]
