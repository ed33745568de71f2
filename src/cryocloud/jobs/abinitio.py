"""Ab-initio maps: reads particles, writes a map a class, poses, and a plain verdict on how far to trust them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from cryocloud.catalog.types.abinitio import JOB_TYPE, AbinitioParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.abinitio import (
    AbInitioParameters,
    AbInitioState,
    Observations,
    Solution,
    StartComparison,
    Sums,
    Verdict,
    judge,
    load_observations,
    progress_fraction,
    reconstruct,
    start_ab_initio,
    trust_evidence,
)
from cryocloud.engine.fourier import resolution_angstrom
from cryocloud.engine.geometry import symmetry_operators
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.table_records import with_poses
from cryocloud.engine.io.tables import ParticleTables, write_particles
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.jobs.kit.checkpoint import load_checkpoint, save_checkpoint
from cryocloud.jobs.kit.particles import load_particles, mask_diameter_angstrom
from cryocloud.jobs.kit.plots import Curve, Mark, plot_curves, plot_orthogonal_slices
from cryocloud.jobs.kit.stored_record import record_content, record_fields

CHECKPOINT_EVERY = 10
FSC_THRESHOLD = 0.5
_ON_THE_CPU = ("rotation", "shift_px", "class_index", "probability")


def run(job: JobContext) -> None:
    """Reconstruct from several starts; a checkpoint every few mini-batches."""
    tables, particles = load_particles(job, JOB_TYPE)
    parameters = _parameters(job, particles)
    observations = load_observations(particles, parameters)
    state = _restored(job)
    if state is None:
        state = start_ab_initio(observations, parameters)
    for steps, current in enumerate(reconstruct(observations, state, parameters), start=1):
        job.progress(progress_fraction(current, parameters), f"{current.phase}, start {current.start + 1}")
        if current.phase != "search" or steps % CHECKPOINT_EVERY == 0:
            save_checkpoint(job.checkpoints, steps, *record_content(current))
            _plot_maps(job, current.solution)
        state = current
    verdict = judge(trust_evidence(state, len(parameters.operators)))
    _write(job, tables, particles, observations, state, verdict)


def _parameters(job: JobContext, particles: ParticleSet) -> AbInitioParameters:
    given: AbinitioParameters = job.parameters
    return AbInitioParameters(
        mask_diameter_angstrom=mask_diameter_angstrom(job, particles),
        operators=symmetry_operators(given.symmetry),
        n_classes=given.classes,
        max_starts=given.max_starts,
        first_resolution_angstrom=given.first_resolution_angstrom,
        last_resolution_angstrom=given.last_resolution_angstrom,
        shift_range_angstrom=given.shift_range_angstrom,
        n_updates=given.updates,
        n_passes=given.passes,
        first_batch=given.first_batch,
        last_batch=given.last_batch,
        seed=job.seed,
        device=torch.device(job.device),
    )


def _restored(job: JobContext) -> AbInitioState | None:
    stored = load_checkpoint(job.checkpoints)
    if stored is None:
        return None
    values = record_fields(stored, device=job.device, on_cpu=_ON_THE_CPU)
    job.log(f"resumed in phase {values['phase']}, start {values['start'] + 1}, step {values['step']}")
    values["sums"] = Sums(**values["sums"])
    values["solution"] = Solution(**values["solution"])
    values["finished"] = tuple(Solution(**solution) for solution in values["finished"])
    if values["comparison"] is not None:
        values["comparison"] = StartComparison(**values["comparison"])
    return AbInitioState(**values)


def _write(
    job: JobContext,
    tables: ParticleTables,
    particles: ParticleSet,
    observations: Observations,
    state: AbInitioState,
    verdict: Verdict,
) -> None:
    solution = state.solution
    for index, volume in enumerate(solution.volumes):
        full = observations.full_size(volume).cpu().numpy()
        write_mrc(job.out / f"volume_class{index + 1}.mrc", full, particles.pixel_size_angstrom)
    scale = observations.pixel_size_angstrom / particles.pixel_size_angstrom
    posed = with_poses(tables, solution.rotation, scale * solution.shift_px)
    rows = posed.particles.assign(rlnClassNumber=solution.class_index.cpu().numpy() + 1)
    write_particles(job.out / "particles.star", replace(posed, particles=rows))
    _plot_maps(job, solution)
    curve = solution.agreement[0].cpu()
    box, pixel = observations.box_size_px, observations.pixel_size_angstrom
    resolution = resolution_angstrom(curve, FSC_THRESHOLD, box, pixel)
    _plot_agreement(job, curve, box * pixel, resolution)
    _report_trust(job, verdict)
    shares = torch.bincount(solution.class_index, minlength=len(solution.volumes)).tolist()
    job.metrics(
        trusted=float(verdict.trusted),
        seed_agreement_cc=verdict.seed_agreement_cc,
        resolution_angstrom=resolution,
        log_evidence_gain=verdict.log_evidence_gain,
        log_evidence_gain_error=verdict.log_evidence_gain_error,
        starts=len(state.finished),
        particles=len(particles),
        pose_probability_median=float(solution.probability.median()),
        **{f"particles_class{i + 1}": count for i, count in enumerate(shares)},
        **_symmetry_metrics(state),
    )


def _symmetry_metrics(state: AbInitioState) -> dict[str, float]:
    if not state.symmetry_fit or state.comparison is None:
        return {}
    return {
        "symmetry_explained": state.symmetry_fit[0],
        "symmetry_explained_by_chance": state.symmetry_fit_by_chance[0],
        "log_evidence_gain_without_symmetry": state.comparison.gain[state.comparison.best],
    }


def _report_trust(job: JobContext, verdict: Verdict) -> None:
    (job.out / "trust.json").write_text(json.dumps(asdict(verdict), indent=1) + "\n")
    if verdict.trusted:
        why = (
            f"another start found the same map (correlation {verdict.seed_agreement_cc:.2f}), and it explains "
            f"particles kept aside (log-evidence gain {verdict.log_evidence_gain:.1f} a particle)"
        )
        job.decision("trust in the map", "trusted", why)
        return
    job.decision("trust in the map", "not to be trusted", "; ".join(verdict.reasons))
    job.warning("this map is not to be trusted: " + "; ".join(verdict.reasons))


def _plot_maps(job: JobContext, solution: Solution) -> None:
    for index, volume in enumerate(solution.volumes):
        path = job.plots / f"slices_class{index + 1}.png"
        plot_orthogonal_slices(path, volume.cpu().numpy(), title=f"class {index + 1}")


def _plot_agreement(job: JobContext, curve: Tensor, box_angstrom: float, resolution: float) -> None:
    frequency = np.arange(len(curve)) / box_angstrom
    plot_curves(
        job.plots / "agreement.png",
        [Curve(frequency[1:], curve[1:].numpy(), "halves of the particles, one common start")],
        x_label="resolution",
        y_label="Fourier shell correlation",
        title=f"Halves agree to {resolution:.1f} Å; the refinement will tell more",
        marks=[Mark(FSC_THRESHOLD, "0.5", axis="y"), Mark(1 / resolution, f"{resolution:.1f} Å")],
        x_is_frequency=True,
    )
