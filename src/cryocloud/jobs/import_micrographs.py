"""Import micrographs: check each file, set bad ones aside, list the rest with their optics."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.import_micrographs import JOB_TYPE, ROWS_AT_A_TIME
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import MrcHeader, open_mrc, read_mrc_header
from cryocloud.engine.io.name_gate import is_readable_file, named_file
from cryocloud.engine.io.tables import MicrographTables, read_micrographs, write_micrographs
from cryocloud.jobs.kit.micrographs import NAME_LABEL
from cryocloud.jobs.kit.optics import (
    compare_with_headers,
    given_optics,
    require_optics,
    require_possible_optics,
    warn_of_optics,
)
from cryocloud.jobs.kit.plots import draw_histogram, draw_image, label_axes, panels
from cryocloud.jobs.kit.preflight import (
    find_files,
    most_common_shape,
    pixel_sizes_differ,
    require_pixel_size,
    require_resources,
)

PIXEL_LABEL = "rlnMicrographPixelSize"
SUFFIXES = (".mrc", ".map", ".mrcs")
SHEET_COUNT = 12
SHEET_EDGE_PX = 256
COPIES_NAMED = 5


@dataclass(frozen=True)
class Pixels:
    """What a pass over the pixels of one micrograph found; ``fault`` is empty for a good one.

    ``checksum`` is that of the pixels as they are stored: copies may differ in their headers.
    """

    fault: str
    mean: float
    deviation: float
    checksum: str


def run(job: JobContext) -> None:
    """Check all micrographs and write ``micrographs.star``."""
    listed, files, count = _listed_micrographs(job)
    headers = _headers(job, files)
    headers = _of_one_shape(job, headers)
    height_px, width_px = next(iter(headers.values())).shape_zyx[1:]
    facts = Facts(items=len(headers), image_height_px=height_px, image_width_px=width_px)
    require_resources(JOB_TYPE.forecast(job.parameters, facts), job.out)
    tables = _with_optics(job, listed, files, headers)
    pixels = _checked_pixels(job, list(headers))
    usable = _each_once(job, files, pixels)
    if not usable:
        raise InputError(
            f"none of {count} micrographs is usable; the reasons are in {job.out}/exceptions.csv"
        )
    write_micrographs(job.out / "micrographs.star", tables.select(np.array(list(usable))))
    good = list(usable.values())
    _plot_sheet(job, good[:SHEET_COUNT])
    _plot_statistics(job, good, pixels)
    job.metrics(
        micrographs=len(good),
        quarantined=count - len(good),
        image_width_px=width_px,
        image_height_px=height_px,
        pixel_size_angstrom=float(tables.optics[PIXEL_LABEL].iloc[0]),
        intensity_mean=float(np.median([pixels[path].mean for path in good])),
        intensity_deviation=float(np.median([pixels[path].deviation for path in good])),
    )
    job.progress(1.0, f"{len(good)} of {count} micrographs are usable")


def _listed_micrographs(job: JobContext) -> tuple[MicrographTables | None, list[Path], int]:
    """The tables, where the input is a STAR list, the file of each micrograph, and how many were listed."""
    source = job.inputs["input"]
    if source.suffix == ".star" and is_readable_file(source):
        tables = read_micrographs(source, optics=given_optics(job.parameters, PIXEL_LABEL))
        if len(tables) == 0:
            raise InputError(f"{source}: lists no micrographs; give another file")
        job.log(f"{len(tables)} micrographs")
        return *_named_micrographs(job, tables), len(tables)
    files = find_files(source, suffixes=SUFFIXES)
    job.log(f"{len(files)} micrographs")
    return None, files, len(files)


def _named_micrographs(job: JobContext, tables: MicrographTables) -> tuple[MicrographTables, list[Path]]:
    """The rows whose names may be followed, and where they lead."""
    files: dict[int, Path] = {}
    reasons: list[str] = []
    for row, name in enumerate(tables.micrographs["rlnMicrographName"].tolist()):
        try:
            files[row] = named_file(tables.folder, name, label=NAME_LABEL, row=row + 1)
        except InputError as error:
            reasons.append(str(error))
            job.quarantine(name, reasons[-1])
    if not files:
        raise InputError(f"none of {len(tables)} micrographs can be read; the first: {reasons[0]}")
    return tables.select(np.array(list(files), dtype=np.int64)), list(files.values())


def _headers(job: JobContext, files: list[Path]) -> dict[Path, MrcHeader]:
    headers: dict[Path, MrcHeader] = {}
    for path in files:
        try:
            header = read_mrc_header(path)
        except InputError as error:
            job.quarantine(str(path), str(error))
            continue
        sections = header.shape_zyx[0]
        if sections > 1:
            job.quarantine(
                str(path), f"holds {sections} sections: a movie or a stack, not a micrograph; align it first"
            )
        else:
            headers[path] = header
    if not headers:
        first = next(iter(job.exceptions.values()))
        raise InputError(f"none of {len(files)} files is a micrograph; the first: {first}")
    return headers


def _of_one_shape(job: JobContext, headers: dict[Path, MrcHeader]) -> dict[Path, MrcHeader]:
    common = most_common_shape(header.shape_zyx for header in headers.values())
    kept = {path: header for path, header in headers.items() if header.shape_zyx == common}
    if len(kept) < len(headers):
        size = f"{common[2]} x {common[1]} px"
        job.decision(
            "micrograph size", size, f"{len(kept)} of {len(headers)} have it; the others are set aside"
        )
        for path, header in headers.items():
            if header.shape_zyx != common:
                _, height_px, width_px = header.shape_zyx
                job.quarantine(
                    str(path), f"is {width_px} x {height_px} px, most are {size}; import it by itself"
                )
    return kept


def _with_optics(
    job: JobContext, listed: MicrographTables | None, files: list[Path], headers: dict[Path, MrcHeader]
) -> MicrographTables:
    """Tables of all files, bad ones included, with complete optics."""
    if listed is None:
        given = given_optics(job.parameters, PIXEL_LABEL)
        if PIXEL_LABEL not in given:
            given[PIXEL_LABEL] = _pixel_size_of_headers(job, headers)
        tables = _new_tables(job.out, files, given)
    else:
        tables = listed
    require_optics(tables.optics)
    require_possible_optics(tables.optics, str(job.inputs["input"]))
    warn_of_optics(job, tables.optics)
    for pixel_size_angstrom in tables.optics[PIXEL_LABEL]:
        require_pixel_size(float(pixel_size_angstrom), "optics")
    compare_with_headers(job, float(tables.optics[PIXEL_LABEL].iloc[0]), headers)
    return tables


def _pixel_size_of_headers(job: JobContext, headers: dict[Path, MrcHeader]) -> float:
    named = {path: header for path, header in headers.items() if header.has_pixel_size}
    if len(named) < len(headers):
        path = next(path for path in headers if path not in named)
        raise InputError(
            f"{path}: the header's pixel size is {headers[path].pixel_size_angstrom:g} Å, which stands for "
            "unknown; give --pixel-size-angstrom"
        )
    sizes = sorted(header.pixel_size_angstrom for header in named.values())
    if pixel_sizes_differ(sizes[0], sizes[-1]):
        raise InputError(
            f"the headers' pixel sizes go from {sizes[0]:g} to {sizes[-1]:g} Å; give "
            "--pixel-size-angstrom, or import one kind at a time"
        )
    why = "taken from the headers of the micrographs, since none was given"
    job.decision("pixel size", f"{sizes[0]:.4g} Å", why)
    return sizes[0]


def _new_tables(out: Path, files: list[Path], given: dict[str, float]) -> MicrographTables:
    names = [os.path.relpath(path.resolve(), out.resolve()) for path in files]
    optics = pd.DataFrame({"rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1]})
    optics["rlnMicrographOriginalPixelSize"] = given[PIXEL_LABEL]
    optics = optics.assign(**given)
    micrographs = pd.DataFrame({"rlnMicrographName": pd.Series(names, dtype="str"), "rlnOpticsGroup": 1})
    return MicrographTables(optics, micrographs, out)


def _checked_pixels(job: JobContext, paths: list[Path]) -> dict[Path, Pixels]:
    """A pass over all pixels; a resumed job looks only at the files that it has not seen."""
    job.checkpoints.mkdir(exist_ok=True)
    journal = job.checkpoints / "checked.jsonl"
    checked = _read_journal(journal, set(paths))
    waiting = [path for path in paths if path not in checked]
    with ThreadPoolExecutor(job.threads) as pool, journal.open("a") as lines:
        try:
            for path, found in zip(waiting, pool.map(_inspect, waiting), strict=True):
                checked[path] = found
                lines.write(json.dumps([str(path), *_stamp(path), *astuple(found)]) + "\n")
                lines.flush()
                job.progress(0.95 * len(checked) / len(paths), path.name)
        finally:
            pool.shutdown(cancel_futures=True)
    for path in paths:
        if checked[path].fault:
            job.quarantine(str(path), checked[path].fault)
    return {path: checked[path] for path in paths}


def _each_once(job: JobContext, files: list[Path], pixels: dict[Path, Pixels]) -> dict[int, Path]:
    """Good micrographs by the row of the list; of copies the first, the others are set aside."""
    first_of: dict[str, Path] = {}
    good: dict[int, Path] = {}
    copies: list[str] = []
    for row, path in enumerate(files):
        if path not in pixels or pixels[path].fault:
            continue
        first = first_of.get(pixels[path].checksum)
        if first is None:
            good[row] = first_of[pixels[path].checksum] = path
            continue
        fault = "is listed twice" if path == first else f"has the same pixels as {first}"
        job.quarantine(str(path), f"{fault}; used once")
        copies.append(f"{path.name} ({first.name})")
    if copies:
        job.warning(
            f"{len(copies)} of {len(files)} micrographs are copies of others and left out, so that no particle "
            f"counts twice: {', '.join(copies[:COPIES_NAMED])}{', ...' * (len(copies) > COPIES_NAMED)}"
        )
    job.metrics(duplicates=len(copies))
    return good


def _read_journal(journal: Path, paths: set[Path]) -> dict[Path, Pixels]:
    """What an earlier attempt found out about files that have not changed since."""
    if not journal.is_file():
        return {}
    # A killed process may have left half a line at the end.
    lines = [line for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
    journal.write_text("".join(lines))
    entries = [(Path(entry[0]), entry[1:3], Pixels(*entry[3:])) for entry in map(json.loads, lines)]
    return {
        path: found
        for path, stamp, found in entries
        if path in paths and path.is_file() and stamp == _stamp(path)
    }


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _inspect(path: Path) -> Pixels:
    try:
        image = open_mrc(path)[0]
    except InputError as error:
        return Pixels(str(error), 0.0, 0.0, "")
    checksum = hashlib.blake2b(digest_size=16)
    bad, total, squares = 0, 0.0, 0.0
    reference = float(image[0, 0]) if np.isfinite(image[0, 0]) else 0.0
    for row in range(0, len(image), ROWS_AT_A_TIME):
        stored = np.ascontiguousarray(image[row : row + ROWS_AT_A_TIME])
        checksum.update(stored.data)
        rows = stored.astype(np.float64)
        finite = np.isfinite(rows)
        bad += rows.size - int(np.count_nonzero(finite))
        # Differences to one pixel keep the variance of bright images exact.
        rows = np.where(finite, rows - reference, 0.0)
        total += float(rows.sum())
        squares += float(np.square(rows).sum())
    mean = total / image.size
    deviation = max(0.0, squares / image.size - mean**2) ** 0.5
    fault = ""
    if bad:
        fault = f"{bad:,} of {image.size:,} pixels are NaN or infinite; make the micrograph again"
    elif deviation == 0:
        fault = f"all pixels are {reference:g}; the micrograph is blank"
    return Pixels(fault, mean + reference, deviation, checksum.hexdigest())


def _plot_sheet(job: JobContext, paths: list[Path]) -> None:
    pictures = [_thumbnail(path) for path in paths]
    columns = min(4, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape
    with panels(
        job.plots / "contact_sheet.png", rows, columns, size_in=(2.4, 2.4 * height / width + 0.25),
        title=f"First {len(pictures)} micrographs",
    ) as cells:  # fmt: skip
        for position, cell in enumerate(cells.flat):
            cell.set_axis_off()
            if position < len(pictures):
                draw_image(cell, pictures[position], title=paths[position].stem)


def _thumbnail(path: Path) -> NDArray[np.float32]:
    image = open_mrc(path)[0]
    binning = max(1, max(image.shape) // SHEET_EDGE_PX)
    height, width = (max(binning, edge // binning * binning) for edge in image.shape)
    blocks = image[:height, :width].reshape(height // binning, binning, width // binning, binning)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _plot_statistics(job: JobContext, good: list[Path], pixels: dict[Path, Pixels]) -> None:
    sample = [open_mrc(path)[0, ::8, ::8].astype(np.float32).ravel() for path in good[:SHEET_COUNT]]
    with panels(job.plots / "intensities.png", 1, 2) as cells:
        draw_histogram(
            cells[0, 0], [("", np.concatenate(sample))], x_label="intensity", y_label="pixels",
            title=f"Pixels of {len(sample)} micrographs",
        )  # fmt: skip
        means, deviations = ([getattr(pixels[path], name) for path in good] for name in ("mean", "deviation"))
        cells[0, 1].scatter(means, deviations, s=14, alpha=0.8, linewidths=0)
        label_axes(cells[0, 1], x_label="mean", y_label="standard deviation", title="Each micrograph")
