"""Import coordinates: find their micrographs, leave out what cannot be picks, and draw the rest to be checked."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.catalog.types.import_coordinates import JOB_TYPE
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.extraction import COPY_DISTANCE_DIAMETERS, repeated_positions
from cryocloud.engine.io.coordinates import COORDINATE_SUFFIXES, SCORE_LABEL, read_coordinates
from cryocloud.engine.io.mrc import read_mrc_header
from cryocloud.engine.io.tables import write_particles
from cryocloud.jobs.kit.items import unique_stems
from cryocloud.jobs.kit.micrographs import MicrographList, list_micrographs
from cryocloud.jobs.kit.picks import picks_table, plot_picks
from cryocloud.jobs.kit.plots import CircleGroup
from cryocloud.jobs.kit.preflight import find_files, require_resources

_SUFFIX = re.compile(r"\.(mrcs?|tiff?|eer|star|cs|box|txt|csv|tsv)$", re.IGNORECASE)
# What pickers append to the name of a micrograph, and the number that cryoSPARC puts before it.
_APPENDED = re.compile(
    r"[_.](autopick|manualpick|picks?|coords?|coordinates|box(es)?|particles)$", re.IGNORECASE
)
_CRYOSPARC_NUMBER = re.compile(r"^\d{15,21}_")


@dataclass(frozen=True)
class Listed:
    """Coordinates of known micrographs: their row in the list of those, position and score (NaN: none)."""

    micrograph: NDArray[np.int64]
    xy_px: NDArray[np.float64]
    score: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.micrograph)

    def select(self, chosen: NDArray[np.bool_]) -> Listed:
        return Listed(self.micrograph[chosen], self.xy_px[chosen], self.score[chosen])


def run(job: JobContext) -> None:
    """Read all coordinates and write ``picks.star``; takes seconds, so an interrupted run starts over."""
    micrographs = list_micrographs(job.inputs["micrographs"])
    require_resources(JOB_TYPE.forecast(job.parameters, micrographs.facts()), job.out)
    listed = _of_known_micrographs(job, _tables(job), micrographs)
    job.progress(0.4, "positions")
    picks = _each_once(job, _inside(job, listed, micrographs), micrographs)
    score = picks.score if np.isfinite(picks.score).all() else None
    write_particles(job.out / "picks.star", picks_table(micrographs, picks.micrograph, picks.xy_px, score))
    counts = np.bincount(picks.micrograph, minlength=len(micrographs.names))
    _plot(job, picks, micrographs)
    job.metrics(
        picks=len(picks),
        micrographs=int((counts > 0).sum()),
        micrographs_without_picks=int((counts == 0).sum()),
        picks_per_micrograph_median=float(np.median(counts[counts > 0])),
    )
    job.progress(1.0, f"{len(picks)} picks on {int((counts > 0).sum())} micrographs")


def _tables(job: JobContext) -> pd.DataFrame:
    files = find_files(job.inputs["input"], suffixes=COORDINATE_SUFFIXES)
    tables = []
    for path in files:
        try:
            tables.append(read_coordinates(path))
        except InputError as error:
            job.quarantine(path.name, str(error))
    if not tables:
        first = next(iter(job.exceptions.values()))
        raise InputError(f"none of {len(files)} files holds coordinates; the first: {first}")
    table = pd.concat(tables, ignore_index=True)
    return table.assign(rlnMicrographName=table["rlnMicrographName"].astype(str))


def _of_known_micrographs(job: JobContext, table: pd.DataFrame, micrographs: MicrographList) -> Listed:
    """Coordinates whose micrograph is in the list by its name, whatever its folder."""
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(micrographs.names):
        rows_of.setdefault(_key(name), []).append(row)
    row_of_name: dict[str, int] = {}
    for name, count in Counter(table["rlnMicrographName"].tolist()).items():
        rows = rows_of.get(_key(name), [])
        if len(rows) == 1:
            row_of_name[name] = rows[0]
        else:
            fault = f"{len(rows)} micrographs of the list have" if rows else "no micrograph of the list has"
            job.quarantine(name, f"{fault} this name; its {count} coordinates are left out")
    if not row_of_name:
        raise InputError(
            f"none of the names of the coordinates ({table['rlnMicrographName'].iloc[0]}, ...) is one of the "
            f"{len(micrographs.names)} micrographs ({micrographs.names[0]}, ...); give the list that "
            "they were picked on"
        )
    known = table[table["rlnMicrographName"].isin(list(row_of_name))]
    if SCORE_LABEL not in known:
        known = known.assign(**{SCORE_LABEL: np.nan})
    return Listed(
        np.array([row_of_name[name] for name in known["rlnMicrographName"]], dtype=np.int64),
        known[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(dtype=np.float64),
        known[SCORE_LABEL].to_numpy(dtype=np.float64),
    )


def _key(name: str) -> str:
    """The name of a micrograph without folder, endings, and what pickers add."""
    key = PurePosixPath(name).name
    while (shorter := _APPENDED.sub("", _SUFFIX.sub("", key))) != key:
        key = shorter
    return _CRYOSPARC_NUMBER.sub("", key)


def _inside(job: JobContext, listed: Listed, micrographs: MicrographList) -> Listed:
    """Coordinates within the images of their micrographs, with y from the edge that was asked for."""
    size_px = np.full((len(micrographs.names), 2), np.nan)
    for row in np.unique(listed.micrograph).tolist():
        try:
            _, height_px, width_px = read_mrc_header(micrographs.path(row)).shape_zyx
            size_px[row] = width_px, height_px
        except InputError as error:
            job.quarantine(micrographs.names[row], str(error))
    readable = np.isfinite(size_px[listed.micrograph, 0])
    if not readable.any():
        raise InputError(
            f"no micrograph of the coordinates can be read; the reasons are in {job.out}/exceptions.csv"
        )
    listed = listed.select(readable)
    size_px = size_px[listed.micrograph]
    xy_px = listed.xy_px.copy()
    if job.parameters.flip_y:
        xy_px[:, 1] = size_px[:, 1] - 1 - xy_px[:, 1]
    inside = np.asarray(((xy_px >= -0.5) & (xy_px < size_px - 0.5)).all(axis=1))
    job.metrics(outside_image=int((~inside).sum()))
    if not inside.all():
        first = int(np.argmin(inside))
        x, y = listed.xy_px[first]
        width_px, height_px = size_px[first]
        text = (
            f"{int((~inside).sum()):,} of {len(inside):,} coordinates lie outside of their micrographs (the first: "
            f"{x:g}, {y:g} in {micrographs.names[listed.micrograph[first]]} of {width_px:.0f} x {height_px:.0f} px); "
            "were they picked on binned or turned micrographs?"
        )
        if not inside.any():
            raise InputError(f"{text} Give coordinates in pixels of these micrographs")
        job.warning(text)
    return Listed(listed.micrograph, xy_px, listed.score).select(inside)


def _each_once(job: JobContext, listed: Listed, micrographs: MicrographList) -> Listed:
    """The first of positions within a tenth of the diameter: they mean one particle."""
    near_angstrom = COPY_DISTANCE_DIAMETERS * job.parameters.particle_diameter_angstrom
    xy_angstrom = listed.xy_px * micrographs.pixel_size_angstrom[listed.micrograph, None]
    of = repeated_positions(xy_angstrom, listed.micrograph, near_angstrom)
    for row in np.flatnonzero(of >= 0).tolist():
        (x, y), (first_x, first_y) = listed.xy_px[row], listed.xy_px[of[row]]
        job.quarantine(
            f"{micrographs.names[listed.micrograph[row]]} ({x:g}, {y:g})",
            f"lies within {near_angstrom:.0f} Å of ({first_x:g}, {first_y:g}): the same particle; used once",
        )
    copies = int((of >= 0).sum())
    job.metrics(duplicates=copies)
    if copies:
        job.warning(
            f"{copies:,} of {len(listed):,} coordinates repeat a particle and are left out; exceptions.csv names each"
        )
    return listed.select(np.asarray(of < 0))


def _plot(job: JobContext, picks: Listed, micrographs: MicrographList) -> None:
    stems = unique_stems(micrographs.names)
    shown = np.unique(picks.micrograph)[: job.parameters.plot_count].tolist()
    for done, row in enumerate(shown):
        xy_px = picks.xy_px[picks.micrograph == row]
        radius_px = (
            job.parameters.particle_diameter_angstrom / 2 / float(micrographs.pixel_size_angstrom[row])
        )
        circles = CircleGroup(xy_px, radius_px, label=f"{len(xy_px)} picks")
        plot_picks(job.plots / f"picks_{stems[row]}.png", micrographs, row, [circles])
        job.progress(0.5 + 0.5 * done / len(shown), micrographs.names[row])
