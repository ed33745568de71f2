"""Selection of 2D classes: splits the particles of a classification, and says why."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.select2d import JOB_TYPE, Select2dParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.classification import ClassDecision, ClassQuality, SelectionRules, choose_classes
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.io.name_gate import is_readable_file
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import ParticleTables, read_particles, with_folder, write_particles
from cryocloud.jobs.kit.class_montage import plot_class_montage
from cryocloud.jobs.kit.plots import plot_histogram
from cryocloud.jobs.kit.preflight import require_resources

KEPT_COLOR, REJECTED_COLOR = "#2e8b3d", "#c8553d"
_COLUMNS = {
    "particles": "cryocloudClassParticles",
    "resolution_angstrom": "rlnEstimatedResolution",
    "match": "cryocloudClassMatch",
    "center_density": "cryocloudClassCenterDensity",
    "edge_ratio": "cryocloudClassEdgeRatio",
    "resolution_score": "cryocloudResolutionScore",
    "match_score": "cryocloudMatchScore",
    "center_score": "cryocloudCenterScore",
    "edge_score": "cryocloudEdgeScore",
}


def run(job: JobContext) -> None:
    """Decide, split, explain; takes seconds, so an interrupted run starts over."""
    given: Select2dParameters = job.parameters
    tables = read_particles(job.inputs["input"])
    require_resources(JOB_TYPE.forecast(given, Facts(items=len(tables))), job.out)
    quality = _read_quality(job.inputs["input"])
    class_number = _class_numbers(tables, len(quality.score), job.inputs["input"])
    rules = SelectionRules(
        given.min_score, given.min_particles, frozenset(given.include), frozenset(given.exclude)
    )
    decisions = choose_classes(quality, rules)
    kept_class = np.array([decision.kept for decision in decisions])
    kept = kept_class[class_number - 1]
    _write_reasons(job.out / "selection.csv", quality, decisions)
    _plot(job, quality, decisions)
    if not kept.any():
        best = int(quality.score.argmax())
        raise InputError(
            f"no class was good enough; the best, class {best + 1}: {decisions[best].reason}. Look at "
            f"{job.plots / 'classes.png'} and lower --min-score or name classes with --include"
        )
    moved = with_folder(tables, job.out)
    for name, rows in (("particles.star", kept), ("excluded.star", ~kept)):
        part = moved.particles[rows].reset_index(drop=True)
        write_particles(job.out / name, replace(moved, particles=part))
    share = float(kept.mean())
    job.decision(
        "classes kept",
        f"{int(kept_class.sum())} of {len(kept_class)}",
        f"they hold {int(kept.sum())} of {len(kept)} particles ({100 * share:.0f} %); reasons in selection.csv",
    )
    job.metrics(
        particles=int(kept.sum()),
        excluded=int((~kept).sum()),
        kept_fraction=share,
        classes_kept=int(kept_class.sum()),
        classes_rejected=int((~kept_class).sum()),
    )


def _read_quality(particles_file: Path) -> ClassQuality:
    path = particles_file.parent / "classes.star"
    if not is_readable_file(path):
        raise InputError(
            f"{path} does not exist; give the particles.star in the folder of a 2D classification (class2d)"
        )
    table = next(iter(read_star(path).values()))
    missing = [label for label in _COLUMNS.values() if label not in table]
    if missing:
        raise InputError(f"{path} has no column _{missing[0]}; it was not written by class2d, run that first")
    return ClassQuality(
        **{
            name: torch.from_numpy(table[label].to_numpy(np.float64).copy())
            for name, label in _COLUMNS.items()
        }
    )


def _class_numbers(tables: ParticleTables, n_classes: int, path: Path) -> np.ndarray:
    if "rlnClassNumber" not in tables.particles:
        raise InputError(f"{path} has no column _rlnClassNumber; run class2d first")
    numbers = tables.particles["rlnClassNumber"].to_numpy(np.int64)
    if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= n_classes):
        raise InputError(
            f"{path}: class numbers {numbers.min()} to {numbers.max()}, but classes.star lists {n_classes} classes; "
            "the two files are not of one job"
        )
    return numbers


def _write_reasons(path: Path, quality: ClassQuality, decisions: list[ClassDecision]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["class", "kept", "particles", "score", "resolution_angstrom", "match", "reason"])
        for index, decision in enumerate(decisions):
            writer.writerow(
                [
                    index + 1,
                    "yes" if decision.kept else "no",
                    int(quality.particles[index]),
                    f"{float(quality.score[index]):.3f}",
                    f"{float(quality.resolution_angstrom[index]):.2f}",
                    f"{float(quality.match[index]):.2f}",
                    decision.reason,
                ]
            )


def _plot(job: JobContext, quality: ClassQuality, decisions: list[ClassDecision]) -> None:
    stack = job.inputs["input"].parent / "classes.mrcs"
    if not is_readable_file(stack):
        raise InputError(f"{stack} does not exist; it belongs to the classification, copy it there")
    averages, _ = read_mrc(stack)
    order = np.argsort(~np.array([d.kept for d in decisions]), kind="stable")
    labels = [
        f"{i + 1}: {int(quality.particles[i])} · {float(quality.resolution_angstrom[i]):.1f} Å · "
        f"{float(quality.score[i]):.2f}"
        for i in order
    ]
    plot_class_montage(
        job.plots / "classes.png",
        averages[order],
        labels,
        frame_colors=[KEPT_COLOR if decisions[i].kept else REJECTED_COLOR for i in order],
        title="Green: kept, red: rejected. Class: particles · resolution · score",
    )
    plot_histogram(
        job.plots / "scores.png",
        [("", np.repeat(quality.score.numpy(), quality.particles.to(torch.int64).numpy()))],
        x_label="score of a particle's class",
        title=f"Rejected below {job.parameters.min_score:g}",
    )
