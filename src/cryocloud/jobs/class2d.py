"""2D classification: reads particles, writes class averages with their quality, and classes and poses."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryocloud.catalog.types.class2d import JOB_TYPE, Class2dParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.classification import (
    Assignments,
    ClassificationParameters,
    ClassificationState,
    ClassQuality,
    ClassSums,
    classify,
    rate_classes,
    start_classification,
)
from cryocloud.engine.geometry import rotation_from_euler
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import write_star
from cryocloud.engine.io.table_records import with_poses
from cryocloud.engine.io.tables import ParticleTables, with_folder, write_particles
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.jobs.kit.checkpoint import load_checkpoint, save_checkpoint
from cryocloud.jobs.kit.class_montage import plot_class_montage
from cryocloud.jobs.kit.particles import load_particles, mask_diameter_angstrom
from cryocloud.jobs.kit.plots import draw_heat_map, panels, plot_histogram, plot_scatter
from cryocloud.jobs.kit.stored_record import record_content, record_fields

DEFAULT_SHIFT_FRACTION = 0.1
_ON_THE_CPU = {f.name for f in fields(Assignments)} | {"occupancy_history", "resolution_history"}


@dataclass(frozen=True)
class SortedClasses:
    """Averages [k, d, d] and quality, largest class first; ``rank`` [k] maps old to new indices, ``order`` back."""

    averages: Tensor
    quality: ClassQuality
    rank: Tensor
    order: Tensor


def run(job: JobContext) -> None:
    """Classify; a checkpoint after each update."""
    tables, particles = load_particles(job, JOB_TYPE)
    parameters = _parameters(job, particles)
    state = _restored(job)
    if state is None:
        state = start_classification(particles, parameters)
    n_updates = parameters.updates + parameters.full_passes

    def report(update: int, fraction: float) -> None:
        job.progress((update - 1 + fraction) / n_updates, f"update {update} of {n_updates}")

    updates = classify(particles, state, parameters, progress=report)
    for state in updates:
        save_checkpoint(job.checkpoints, state.update, *record_content(state))
        _log_update(job, particles, state)
    _write(job, tables, particles, state, parameters)


def _parameters(job: JobContext, particles: ParticleSet) -> ClassificationParameters:
    given: Class2dParameters = job.parameters
    mask_angstrom, range_angstrom = mask_diameter_angstrom(job, particles), given.shift_range_angstrom
    if range_angstrom is None:
        range_angstrom = DEFAULT_SHIFT_FRACTION * mask_angstrom
        job.decision("shift range", f"{range_angstrom:.0f} Å", "a tenth of the mask, as none was given")
    return ClassificationParameters(
        n_classes=given.classes,
        mask_diameter_angstrom=mask_angstrom,
        max_resolution_angstrom=given.max_resolution_angstrom,
        shift_range_angstrom=range_angstrom,
        updates=given.online_updates,
        full_passes=given.full_passes,
        recenter=given.recenter,
        seed=job.seed,
        device=job.device,
    )


def _restored(job: JobContext) -> ClassificationState | None:
    stored = load_checkpoint(job.checkpoints)
    if stored is None:
        return None
    job.log(f"resumed after update {stored.step}")
    values = record_fields(stored, device=job.device, on_cpu=_ON_THE_CPU)
    values["sums"] = ClassSums(**values["sums"])
    values["assignments"] = Assignments(**values["assignments"])
    return ClassificationState(**values)


def _log_update(job: JobContext, particles: ParticleSet, state: ClassificationState) -> None:
    seen = state.assignments.class_index >= 0
    finest = particles.box_size_px * particles.pixel_size_angstrom / state.r_max_px
    best = float(state.resolution_history[-1].min())
    job.log(
        f"update {state.update}: {int(seen.sum())} particles seen, best class {best:.1f} Å, "
        f"class probability {float(state.assignments.probability[seen].mean()):.2f}; next: detail to {finest:.1f} Å"
    )


def _write(
    job: JobContext,
    tables: ParticleTables,
    particles: ParticleSet,
    state: ClassificationState,
    parameters: ClassificationParameters,
) -> None:
    classes = _sorted_by_size(rate_classes(particles, state, parameters), state.averages)
    working_pixel = particles.box_size_px * particles.pixel_size_angstrom / state.averages.shape[-1]
    write_mrc(job.out / "classes.mrcs", classes.averages.numpy(), working_pixel, stack=True)
    share = state.occupancy_history[-1][classes.order]
    write_star(job.out / "classes.star", {"model_classes": _class_table(classes.quality, share)})
    write_particles(
        job.out / "particles.star", _assigned(tables, particles, state, classes, working_pixel, job)
    )
    _plot(job, state, classes)
    quality, found = classes.quality, state.assignments
    used = quality.particles > 0
    job.metrics(
        particles=len(particles),
        classes=len(used),
        classes_used=int(used.sum()),
        resolution_best_angstrom=float(quality.resolution_angstrom[used].min()),
        score_mean=float((quality.score * quality.particles).sum() / quality.particles.sum()),
        effective_classes_mean=float(found.effective_classes.mean()),
        class_probability_mean=float(found.probability.mean()),
        shift_width_angstrom=state.sigma_shift_px * working_pixel,
    )


def _sorted_by_size(quality: ClassQuality, averages: Tensor) -> SortedClasses:
    order = torch.argsort(quality.particles, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    ordered = ClassQuality(*(getattr(quality, f.name)[order] for f in fields(ClassQuality)))
    return SortedClasses(averages.cpu()[order], ordered, rank, order)


def _class_table(quality: ClassQuality, share: Tensor) -> pd.DataFrame:
    measures = {
        "rlnClassDistribution": share,
        "rlnEstimatedResolution": quality.resolution_angstrom,
        "rlnClassScore": quality.score,
        "cryocloudClassParticles": quality.particles,
        "cryocloudClassMatch": quality.match,
        "cryocloudClassCenterDensity": quality.center_density,
        "cryocloudClassEdgeRatio": quality.edge_ratio,
        "cryocloudMatchScore": quality.match_score,
        "cryocloudResolutionScore": quality.resolution_score,
        "cryocloudCenterScore": quality.center_score,
        "cryocloudEdgeScore": quality.edge_score,
    }
    names = [f"{number + 1:06d}@classes.mrcs" for number in range(len(share))]
    rounded = {name: np.round(values.numpy(), 6) for name, values in measures.items()}
    rounded["cryocloudClassParticles"] = quality.particles.to(torch.int64).numpy()
    return pd.DataFrame(
        {"rlnReferenceImage": names, "rlnClassNumber": np.arange(1, len(names) + 1), **rounded}
    )


def _assigned(
    tables: ParticleTables,
    particles: ParticleSet,
    state: ClassificationState,
    classes: SortedClasses,
    working_pixel_angstrom: float,
    job: JobContext,
) -> ParticleTables:
    found = state.assignments
    zero = torch.zeros_like(found.psi_deg)
    shift_px = found.shift_px * (working_pixel_angstrom / particles.pixel_size_angstrom)
    posed = with_poses(with_folder(tables, job.out), rotation_from_euler(zero, zero, found.psi_deg), shift_px)
    rows = posed.particles.assign(
        rlnClassNumber=(classes.rank[found.class_index] + 1).numpy(),
        rlnMaxValueProbDistribution=np.round(found.probability.numpy(), 6),
        rlnLogLikeliContribution=np.round(found.log_evidence.numpy(), 6),
        cryocloudEffectiveClasses=np.round(found.effective_classes.numpy(), 6),
        cryocloudClassMatch=np.round(found.match.numpy(), 6),
    )
    return replace(posed, particles=rows)


def _plot(job: JobContext, state: ClassificationState, classes: SortedClasses) -> None:
    quality, found = classes.quality, state.assignments
    rank = classes.rank[found.class_index]
    spread = torch.bincount(rank, found.effective_classes, len(quality.particles)) / quality.particles.clamp(
        min=1
    )
    labels = [
        f"{int(n)} · {resolution:.1f} Å · {effective:.1f}" if n else "empty"
        for n, resolution, effective in zip(
            quality.particles.tolist(), quality.resolution_angstrom.tolist(), spread.tolist(), strict=True
        )
    ]
    plot_class_montage(
        job.plots / "classes.png",
        classes.averages.numpy(),
        labels,
        title="Class averages: particles · resolution at FRC 0.5 · effective number of classes",
    )
    plot_histogram(
        job.plots / "effective_classes.png",
        [("", found.effective_classes.numpy())],
        x_label="effective number of classes of a particle (1 = certain)",
        title="How sure the assignments are",
    )
    plot_scatter(
        job.plots / "class_resolution.png",
        [("", quality.particles.numpy(), quality.resolution_angstrom.clamp(max=60).numpy())],
        x_label="particles",
        y_label="resolution at FRC 0.5 (Å)",
        title="Classes",
    )
    history = state.occupancy_history[:, classes.order].T.numpy()
    with panels(job.plots / "class_history.png", size_in=(6.4, 4.2)) as axes:
        draw_heat_map(
            axes[0, 0],
            100 * history[::-1],
            extent=(0.5, history.shape[1] + 0.5, len(history) + 0.5, 0.5),
            x_label="update",
            y_label="class",
            title="Share of the particles in each class",
            value_label="%",
        )
