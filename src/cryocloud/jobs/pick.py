"""Particle picking, micrograph by micrograph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cryocloud.catalog.types.pick import JOB_TYPE, PickParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header
from cryocloud.engine.io.table_records import ctf_parameters
from cryocloud.engine.io.tables import write_particles
from cryocloud.engine.picking import (
    Picks,
    PickSettings,
    References,
    pick_blobs,
    pick_templates,
    project_references,
)
from cryocloud.jobs.kit.items import Record, process_items, unique_stems
from cryocloud.jobs.kit.micrographs import (
    MicrographList,
    list_micrographs,
    load_micrograph,
    report_outliers,
)
from cryocloud.jobs.kit.picks import picks_table, plot_picks
from cryocloud.jobs.kit.plots import (
    CircleGroup,
    Mark,
    draw_histogram,
    panels,
)
from cryocloud.jobs.kit.preflight import require_resources

CONTAMINATION_COLOR = "#ff5050"
SEEDS_PER_JOB = 1_000_003

# The picks of a micrograph, and how many outliers were replaced in it.
Picker = Callable[[int], tuple[Picks, int]]


def run(job: JobContext) -> None:
    """Pick all micrographs and write ``picks.star``."""
    micrographs = list_micrographs(job.inputs["input"])
    require_resources(JOB_TYPE.forecast(job.parameters, micrographs.facts()), job.out)
    picker = _picker(job, micrographs)
    stems = unique_stems(micrographs.names)

    def keep(row: int, found: tuple[Picks, int]) -> Record:
        picks, outliers = found
        if row < job.parameters.plot_count:
            _plot_picks(job, micrographs, row, job.plots / f"picks_{stems[row]}.png", picks)
        return {
            "xy_px": np.round(picks.xy_px, 2).tolist(),
            "score": np.round(picks.score, 5).tolist(),
            "template": picks.template.tolist(),
            "threshold": picks.threshold if np.isfinite(picks.threshold) else None,
            "candidates": np.round(picks.candidate_scores, 4).tolist(),
            "chance": np.round(picks.chance_scores, 4).tolist(),
            "contaminated": len(picks.contaminated_xy_px),
            "outliers": outliers,
        }

    records = process_items(job, micrographs.names, picker, keep)
    report_outliers(job, [record["outliers"] for record in records.values()], micrographs.facts())
    _report(job, records)
    counts = [len(record["score"]) for record in records.values()]
    tables = picks_table(
        micrographs,
        np.repeat(np.array(list(records), dtype=np.int64), counts),
        np.concatenate([np.reshape(record["xy_px"], (-1, 2)) for record in records.values()]),
        np.concatenate([record["score"] for record in records.values()]),
    )
    if len(tables) == 0:
        raise InputError(
            f"no particle was found on {len(records)} micrographs; check --particle-diameter-angstrom "
            f"{job.parameters.particle_diameter_angstrom:g} and --particle-contrast, or raise --false-pick-share"
        )
    write_particles(job.out / "picks.star", tables)


def _picker(job: JobContext, micrographs: MicrographList) -> Picker:
    parameters: PickParameters = job.parameters
    settings = PickSettings(
        diameter_angstrom=parameters.particle_diameter_angstrom,
        dark_particles=parameters.particle_contrast == "dark",
        min_distance_diameters=parameters.min_distance_diameters,
        false_share=parameters.false_pick_share,
        score_min=parameters.score_min,
        most_picks=parameters.max_picks,
    )

    def generator(row: int) -> torch.Generator:
        return torch.Generator().manual_seed(job.seed * SEEDS_PER_JOB + row)

    if parameters.method == "log":
        torch.set_num_threads(1)

        def blobs(row: int) -> tuple[Picks, int]:
            image, outliers = load_micrograph(micrographs.path(row), job.device)
            pixel_size_angstrom = float(micrographs.pixel_size_angstrom[row])
            picks = pick_blobs(
                image, pixel_size_angstrom=pixel_size_angstrom, settings=settings, generator=generator(row)
            )
            return picks, outliers

        return blobs
    references = _references(job).to(job.device)
    ctf = ctf_parameters(micrographs.tables.optics, micrographs.tables.micrographs)
    torch.set_num_threads(1)

    def templates(row: int) -> tuple[Picks, int]:
        image, outliers = load_micrograph(micrographs.path(row), job.device)
        picks = pick_templates(
            image,
            references,
            ctf.select(slice(row, row + 1)),
            pixel_size_angstrom=float(micrographs.pixel_size_angstrom[row]),
            resolution_angstrom=parameters.template_resolution_angstrom,
            settings=settings,
            generator=generator(row),
        )
        return picks, outliers

    return templates


def _references(job: JobContext) -> References:
    path = job.inputs.get("reference")
    if path is None:
        raise InputError("--method template needs --reference: class averages (.mrcs) or a map (.mrc)")
    header = read_mrc_header(path)
    if not header.has_pixel_size:
        raise InputError(
            f"{path}: the header's pixel size is {header.pixel_size_angstrom:g} Å, which stands for unknown; "
            "write the right one into the header"
        )
    array, pixel_size_angstrom = read_mrc(path)
    images = torch.from_numpy(array.copy())
    if images.ndim == 2:
        images = images[None]
    is_map = path.suffix != ".mrcs" and len(set(images.shape)) == 1
    if is_map:
        return project_references(
            images,
            pixel_size_angstrom=pixel_size_angstrom,
            resolution_angstrom=job.parameters.template_resolution_angstrom,
        )
    if images.shape[-1] != images.shape[-2]:
        height_px, width_px = images.shape[-2:]
        raise InputError(
            f"{path}: references of {width_px} x {height_px} px are not square; give square ones"
        )
    return References(images, pixel_size_angstrom)


def _report(job: JobContext, records: dict[int, Record]) -> None:
    counts = np.array([len(record["score"]) for record in records.values()])
    thresholds = np.array([record["threshold"] or np.nan for record in records.values()])
    job.metrics(
        micrographs=len(records),
        picks=int(counts.sum()),
        picks_per_micrograph_median=float(np.median(counts)),
        micrographs_without_picks=int((counts == 0).sum()),
        contaminated=sum(record["contaminated"] for record in records.values()),
        threshold_median=float(np.nanmedian(thresholds)) if np.isfinite(thresholds).any() else np.nan,
    )
    if (counts == 0).any():
        empty = ", ".join(str(row + 1) for row, count in zip(records, counts, strict=True) if count == 0)
        job.log(f"nothing but chance on micrographs number {empty}")
    candidates, chance = (
        np.concatenate([record[kind] for record in records.values()]) for kind in ("candidates", "chance")
    )
    marks = (
        [Mark(float(np.nanmedian(thresholds)), "median threshold")] if np.isfinite(thresholds).any() else []
    )
    with panels(job.plots / "scores.png", 1, 2) as axes:
        draw_histogram(
            axes[0, 0], [("all peaks", candidates), ("random phases", chance)],
            x_label="score", y_label="peaks", title="Scores", marks=marks,
        )  # fmt: skip
        draw_histogram(
            axes[0, 1], [("", counts)], x_label="picks", y_label="micrographs", title="Picks per micrograph"
        )


def _plot_picks(job: JobContext, micrographs: MicrographList, row: int, path: Path, picks: Picks) -> None:
    radius_px = job.parameters.particle_diameter_angstrom / 2 / micrographs.pixel_size_angstrom[row]
    groups = [CircleGroup(picks.xy_px, radius_px, label=f"{len(picks.score)} picks")]
    if len(picks.contaminated_xy_px):
        groups.append(CircleGroup(picks.contaminated_xy_px, radius_px, CONTAMINATION_COLOR, "contamination"))
    plot_picks(path, micrographs, row, groups)
