"""Extraction of particles, micrograph by micrograph, into one stack."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.extract import JOB_TYPE, ExtractParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.extraction import (
    COPY_DISTANCE_BOXES,
    NormalizeSettings,
    cut_boxes,
    gap_positions,
    normalize_boxes,
    place_boxes,
    repeated_positions,
)
from cryocloud.engine.io.mrc import MrcStackWriter
from cryocloud.engine.io.name_gate import named_file
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import ParticleTables, optics_of_rows, write_particles
from cryocloud.jobs.kit.items import Record, process_items
from cryocloud.jobs.kit.micrographs import (
    NAME_LABEL,
    first_shape_px,
    read_micrograph,
    report_outliers,
)
from cryocloud.jobs.kit.plots import plot_image_grid
from cryocloud.jobs.kit.preflight import require_pixel_size, require_resources

COORDINATES = ("rlnCoordinateX", "rlnCoordinateY")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
BACKGROUND_SHARE = 0.75
DECIMALS = 4
EXAMPLES = 100
EXAMPLES_PER_MICROGRAPH = 12
BOXES_AT_A_TIME = 64
OF_THE_PARTICLE = (
    "rlnImageName", "rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnRandomSubset", "rlnNormCorrection",
    "rlnLogLikeliContribution", "rlnMaxValueProbDistribution", "rlnNrOfSignificantSamples",
    "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", *ORIGINS,
)  # fmt: skip


@dataclass(frozen=True)
class Coordinates:
    """Positions in micrographs: the table, and per row the position and the micrograph's pixel size.

    ``listed_in_row`` has for each micrograph the row of the file (from 1) that names it first.
    """

    tables: ParticleTables
    xy_px: NDArray[np.float64]
    pixel_size_angstrom: NDArray[np.float64]
    listed_in_row: dict[str, int]

    def path(self, name: str) -> Path:
        """Where a micrograph lies."""
        return named_file(self.tables.folder, name, label=NAME_LABEL, row=self.listed_in_row[name])

    def of_micrograph(self, name: str) -> NDArray[np.int64]:
        """Rows of one micrograph."""
        return np.flatnonzero(self.tables.particles["rlnMicrographName"].to_numpy() == name).astype(np.int64)


@dataclass(frozen=True)
class Cut:
    """Images of one micrograph, the rows they come from, and what is new in their rows."""

    images: NDArray[np.float32]
    rows: NDArray[np.int64]
    center_px: NDArray[np.int64]
    origin_angstrom: NDArray[np.float64]
    at_edge: int
    outliers: int


def run(job: JobContext) -> None:
    """Cut all boxes and write ``particles.mrcs`` and ``particles.star``."""
    parameters: ExtractParameters = job.parameters
    coordinates = _coordinates(job)
    names = list(dict.fromkeys(coordinates.tables.particles["rlnMicrographName"].astype(str)))
    facts = _require_fitting_box(parameters, coordinates, names)
    require_resources(JOB_TYPE.forecast(parameters, facts), job.out)
    _background_radius_px(parameters, float(coordinates.pixel_size_angstrom.min()))
    torch.set_num_threads(1)
    parts = job.checkpoints / "parts"
    parts.mkdir(parents=True, exist_ok=True)

    def cut(position: int) -> Cut:
        rows = coordinates.of_micrograph(names[position])
        share = _share(parameters.noise_boxes, len(names), position)
        return _cut_micrograph(job, coordinates, rows, coordinates.path(names[position]), share)

    def keep(position: int, found: Cut) -> Record:
        partial = parts / f"{position:06d}.partial"
        with partial.open("wb") as stream:
            np.save(stream, found.images.astype(parameters.number_type))
        partial.replace(_part(parts, position))
        return {
            "rows": found.rows.tolist(),
            "center_px": found.center_px.tolist(),
            "origin_angstrom": found.origin_angstrom.tolist(),
            "at_edge": found.at_edge,
            "outliers": found.outliers,
        }

    records = process_items(job, names, cut, keep, until_fraction=0.8)
    count = sum(len(record["rows"]) for record in records.values())
    _report_edge(job, count, sum(record["at_edge"] for record in records.values()))
    report_outliers(job, [record["outliers"] for record in records.values()], facts)
    _write_stack(job, coordinates, records, parts)
    write_particles(job.out / "particles.star", _particles(job, coordinates, records))
    stored_px = parameters.output_box_size_px or parameters.box_size_px
    job.metrics(
        particles=count,
        micrographs=len(records),
        box_size_px=stored_px,
        pixel_size_angstrom=float(coordinates.pixel_size_angstrom[0]) * parameters.box_size_px / stored_px,
    )


def _report_edge(job: JobContext, kept: int, at_edge: int) -> None:
    edge = f"boxes of {job.parameters.box_size_px} px reach beyond their micrographs"
    if kept == 0:
        raise InputError(f"all {at_edge} {edge}; give a smaller --box-size-px")
    if at_edge:
        job.decision("left out at the edge", f"{at_edge:,} of {kept + at_edge:,}", f"their {edge}")
    job.metrics(rejected_at_edge=at_edge)


def _coordinates(job: JobContext) -> Coordinates:
    path = job.inputs["input"]
    blocks = read_star(path)
    if "optics" not in blocks or "particles" not in blocks:
        raise InputError(f"{path}: has no data_optics and data_particles; give picks.star or particles.star")
    optics, rows = blocks["optics"], blocks["particles"]
    for label in ("rlnMicrographName", *COORDINATES):
        if label not in rows:
            raise InputError(f"{path}: column _{label} is missing in data_particles; pick particles first")
    rows = rows.assign(rlnMicrographName=rows["rlnMicrographName"].astype(str))
    listed_in_row = {name: row for row, name in reversed([*enumerate(rows["rlnMicrographName"], 1)])}
    if job.parameters.score_min is not None:
        if "rlnAutopickFigureOfMerit" not in rows:
            raise InputError(
                f"{path}: --score-min needs the column _rlnAutopickFigureOfMerit, which is missing"
            )
        rows = rows[rows["rlnAutopickFigureOfMerit"] >= job.parameters.score_min].reset_index(drop=True)
    if len(rows) == 0:
        raise InputError(f"{path}: lists no picks; lower --score-min or pick again")
    pixel_size_angstrom = optics_of_rows(optics, rows, _pixel_label(optics, path))
    for size in np.unique(pixel_size_angstrom):
        require_pixel_size(float(size), str(path))
    xy_px = rows[list(COORDINATES)].to_numpy(dtype=np.float64)
    if job.parameters.recenter and ORIGINS[0] in rows:
        xy_px = xy_px - rows[list(ORIGINS)].to_numpy(dtype=np.float64) / pixel_size_angstrom[:, None]
    once = (
        np.ones(len(rows), dtype=np.bool_) if job.parameters.noise_boxes else _places_once(job, rows, xy_px)
    )
    tables = ParticleTables(optics, rows, path.parent).select(once)
    return Coordinates(tables, xy_px[once], pixel_size_angstrom[once], listed_in_row)


def _places_once(job: JobContext, rows: pd.DataFrame, xy_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The first of positions that mean one particle: in both half sets it would correlate with itself."""
    near_px = COPY_DISTANCE_BOXES * job.parameters.box_size_px
    of = repeated_positions(xy_px, pd.factorize(rows["rlnMicrographName"])[0].astype(np.int64), near_px)
    copies = np.flatnonzero(of >= 0)
    if len(copies):
        x, y = xy_px[copies[0]]
        job.decision(
            "left out as copies", f"{len(copies):,} of {len(rows):,}",
            f"they lie within {near_px:.0f} px, a sixteenth of the box, of a pick before them and mean the same "
            f"particle; the first: row {copies[0] + 1}, ({x:.0f}, {y:.0f}) in {rows['rlnMicrographName'][copies[0]]}",
        )  # fmt: skip
    job.metrics(duplicates=len(copies))
    return np.asarray(of < 0)


def _pixel_label(optics: pd.DataFrame, path: Path) -> str:
    for label in ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"):
        if label in optics:
            return label
    raise InputError(
        f"{path}: column _rlnMicrographPixelSize is missing in data_optics; add the pixel size there"
    )


def _require_fitting_box(parameters: ExtractParameters, coordinates: Coordinates, names: list[str]) -> Facts:
    """Fail early where even the first micrograph is smaller than the box; how many boxes, and its size."""
    height_px, width_px = first_shape_px(lambda position: coordinates.path(names[position]), len(names))
    nothing = np.zeros((0, 2))
    place_boxes(nothing, box_size_px=parameters.box_size_px, height_px=height_px, width_px=width_px)
    boxes = parameters.noise_boxes or len(coordinates.tables)
    return Facts(items=boxes, image_height_px=height_px, image_width_px=width_px)


def _share(total: int, parts: int, position: int) -> int:
    """Equal parts of a total, the remainder to the first ones."""
    return total // parts + (position < total % parts)


def _cut_micrograph(
    job: JobContext, coordinates: Coordinates, rows: NDArray[np.int64], path: Path, noise_boxes: int
) -> Cut:
    parameters: ExtractParameters = job.parameters
    micrograph, outliers = read_micrograph(path)
    height_px, width_px = micrograph.shape
    pixel_size_angstrom = float(coordinates.pixel_size_angstrom[rows[0]])
    xy_px = coordinates.xy_px[rows]
    if parameters.noise_boxes:
        xy_px = _gaps(job, xy_px, (height_px, width_px), pixel_size_angstrom, noise_boxes)
        rows = np.resize(rows, len(xy_px))
    box_px = parameters.box_size_px
    placement = place_boxes(xy_px, box_size_px=box_px, height_px=height_px, width_px=width_px)
    center_px = placement.center_px[placement.inside]
    origin_px = placement.origin_px[placement.inside]
    if not parameters.recenter and ORIGINS[0] in coordinates.tables.particles:
        known = coordinates.tables.particles.iloc[rows][list(ORIGINS)].to_numpy(dtype=np.float64)
        origin_px = origin_px + known[placement.inside] / pixel_size_angstrom
    return Cut(
        images=_images(job, micrograph, center_px, pixel_size_angstrom),
        rows=rows[placement.inside],
        center_px=center_px,
        origin_angstrom=np.round(origin_px * pixel_size_angstrom, DECIMALS),
        at_edge=int((~placement.inside).sum()),
        outliers=outliers,
    )


def _gaps(
    job: JobContext,
    picks_xy_px: NDArray[np.float64],
    shape: tuple[int, int],
    pixel_size_angstrom: float,
    count: int,
) -> NDArray[np.float64]:
    parameters: ExtractParameters = job.parameters
    diameter_angstrom = parameters.particle_diameter_angstrom
    half_box_px = parameters.box_size_px / 2
    # One stream of random numbers per micrograph: threads finish in any order.
    rng = np.random.default_rng([job.seed, *np.round(picks_xy_px[0] * 100).astype(np.int64).clip(0)])
    return gap_positions(
        picks_xy_px,
        count=count,
        box_size_px=parameters.box_size_px,
        height_px=shape[0],
        width_px=shape[1],
        diameter_px=diameter_angstrom / pixel_size_angstrom if diameter_angstrom else half_box_px,
        rng=rng,
    )


def _images(
    job: JobContext,
    micrograph: NDArray[np.float32],
    center_px: NDArray[np.int64],
    pixel_size_angstrom: float,
) -> NDArray[np.float32]:
    parameters: ExtractParameters = job.parameters
    box_px = parameters.box_size_px
    stored_px = parameters.output_box_size_px or box_px
    radius_px = _background_radius_px(parameters, pixel_size_angstrom)
    settings = NormalizeSettings(radius_px, stored_px, parameters.invert_contrast, parameters.clamp_dust)
    images = np.empty((len(center_px), stored_px, stored_px), dtype=np.float32)
    for first in range(0, len(center_px), BOXES_AT_A_TIME):
        chosen = slice(first, first + BOXES_AT_A_TIME)
        boxes = torch.from_numpy(cut_boxes(micrograph, center_px[chosen], box_px)).to(job.device)
        images[chosen] = normalize_boxes(boxes, settings).cpu().numpy()
    return images


def _background_radius_px(parameters: ExtractParameters, pixel_size_angstrom: float) -> float:
    box_px = parameters.box_size_px
    if parameters.background_diameter_angstrom is None:
        return BACKGROUND_SHARE * box_px / 2
    radius_px = parameters.background_diameter_angstrom / 2 / pixel_size_angstrom
    if radius_px > 0.5 * box_px:
        raise InputError(
            f"--background-diameter-angstrom {parameters.background_diameter_angstrom:g} leaves no background in "
            f"a box of {box_px * pixel_size_angstrom:g} Å; give a smaller one or a larger --box-size-px"
        )
    return radius_px


def _part(parts: Path, position: int) -> Path:
    return parts / f"{position:06d}.npy"


def _write_stack(job: JobContext, coordinates: Coordinates, records: dict[int, Record], parts: Path) -> None:
    parameters: ExtractParameters = job.parameters
    stored_px = parameters.output_box_size_px or parameters.box_size_px
    pixel_size_angstrom = float(coordinates.pixel_size_angstrom[0]) * parameters.box_size_px / stored_px
    examples: list[NDArray[np.float32]] = []
    with MrcStackWriter(
        job.out / "particles.mrcs", stored_px, pixel_size_angstrom, dtype=parameters.number_type
    ) as stack:
        for done, position in enumerate(records):
            images = np.load(_part(parts, position), mmap_mode="r")
            if len(images):
                stack.append(images)
                examples += [
                    np.asarray(image, dtype=np.float32) for image in images[:EXAMPLES_PER_MICROGRAPH]
                ]
            job.progress(0.8 + 0.2 * done / len(records), "writing the stack")
    what = "noise boxes" if parameters.noise_boxes else "particles"
    shown = examples[:: max(1, len(examples) // EXAMPLES)][:EXAMPLES]
    plot_image_grid(job.plots / "examples.png", shown, title=f"{len(shown)} of {stack.count} {what}")


def _particles(job: JobContext, coordinates: Coordinates, records: dict[int, Record]) -> ParticleTables:
    parameters: ExtractParameters = job.parameters
    rows = np.concatenate([np.array(record["rows"], dtype=np.int64) for record in records.values()])
    center_px, origin_angstrom = (
        np.concatenate([np.reshape(record[kind], (-1, 2)) for record in records.values()])
        for kind in ("center_px", "origin_angstrom")
    )
    particles = coordinates.tables.particles.iloc[rows].reset_index(drop=True)
    if parameters.noise_boxes:
        particles = particles.drop(columns=[label for label in OF_THE_PARTICLE if label in particles])
    # All names of a table count from one folder, that of the input.
    stack = os.path.relpath(job.out.resolve() / "particles.mrcs", coordinates.tables.folder.resolve())
    names = pd.Series([f"{number:06d}@{stack}" for number in range(1, len(rows) + 1)], dtype="str")
    particles = particles.drop(columns="rlnImageName", errors="ignore")
    particles.insert(0, "rlnImageName", names)
    for axis, label in enumerate(COORDINATES):
        particles[label] = center_px[:, axis].astype(np.float64)
    for axis, label in enumerate(ORIGINS):
        particles[label] = origin_angstrom[:, axis]
    return ParticleTables(_stored_optics(coordinates, parameters), particles, coordinates.tables.folder)


def _stored_optics(coordinates: Coordinates, parameters: ExtractParameters) -> pd.DataFrame:
    optics = coordinates.tables.optics
    stored_px = parameters.output_box_size_px or parameters.box_size_px
    label = _pixel_label(optics, coordinates.tables.folder)
    pixel_size_angstrom = optics[label].to_numpy(dtype=np.float64) * parameters.box_size_px / stored_px
    return optics.assign(
        rlnImagePixelSize=pixel_size_angstrom, rlnImageSize=stored_px, rlnImageDimensionality=2
    )
