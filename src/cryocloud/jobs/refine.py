"""Gold-standard refinement: reads particles and a start map, writes half maps, poses and the FSC."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cryocloud.catalog.types.refine import JOB_TYPE, RefineParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import resample_volume, resolution_angstrom
from cryocloud.engine.geometry import euler_from_rotation, symmetry_operators
from cryocloud.engine.io.mrc import read_mrc, write_mrc
from cryocloud.engine.io.star import write_star
from cryocloud.engine.io.table_records import with_poses
from cryocloud.engine.io.tables import ParticleTables, write_particles
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.engine.refinement import (
    PER_PARTICLE,
    RefinementParameters,
    RefinementState,
    combined_map,
    refine,
    start_refinement,
)
from cryocloud.jobs.kit.checkpoint import load_checkpoint, save_checkpoint
from cryocloud.jobs.kit.half_map_fsc import FSC_THRESHOLD, fsc_table, plot_fsc
from cryocloud.jobs.kit.particles import load_particles, mask_diameter_angstrom
from cryocloud.jobs.kit.plots import (
    Mark,
    draw_heat_map,
    label_axes,
    panels,
    plot_histogram,
    plot_orthogonal_slices,
)
from cryocloud.jobs.kit.preflight import require_cube, require_pixel_size
from cryocloud.jobs.kit.resolution import report_pixel_limit
from cryocloud.jobs.kit.stored_record import record_content, record_fields

ITERATIONS_LEFT = 3  # how many remain is not known; the bar slows down instead of jumping back
_ON_THE_CPU = (*PER_PARTICLE, "half_set", "pose_change_deg")


def run(job: JobContext) -> None:
    """Refine until the resolution stands still; a checkpoint after each iteration."""
    tables, particles = load_particles(job, JOB_TYPE)
    parameters = _parameters(job, particles)
    state = _restored(job)
    if state is None:
        state = start_refinement(particles, _reference(job, particles), parameters)

    def report(iteration: int, fraction: float) -> None:
        run_so_far = iteration - 1 + fraction
        job.progress(run_so_far / (run_so_far + ITERATIONS_LEFT), f"iteration {iteration}")

    for current in refine(particles, state, parameters, progress=report):
        save_checkpoint(job.checkpoints, current.iteration, *record_content(current))
        _report_iteration(job, particles, current)
        state = current
    _write(job, tables, particles, state)


def _parameters(job: JobContext, particles: ParticleSet) -> RefinementParameters:
    given: RefineParameters = job.parameters
    return RefinementParameters(
        mask_diameter_angstrom=mask_diameter_angstrom(job, particles),
        operators=symmetry_operators(given.symmetry),
        start_resolution_angstrom=given.start_resolution_angstrom,
        shift_range_angstrom=given.shift_range_angstrom,
        max_iterations=given.max_iterations,
        max_modes=given.max_modes,
        max_orientations=given.max_orientations,
        seed=job.seed,
        device=torch.device(job.device),
    )


def _reference(job: JobContext, particles: ParticleSet) -> Tensor:
    path = job.inputs["reference"]
    volume, pixel_size_angstrom = read_mrc(path)
    require_cube(volume.shape, path)
    require_pixel_size(pixel_size_angstrom, f"header of {path}")
    if not np.isfinite(volume).all() or np.ptp(volume) == 0:
        raise InputError(
            f"{path}: the map is flat or holds values that are not numbers; give another start map"
        )
    box, pixel = particles.box_size_px, particles.pixel_size_angstrom
    if volume.shape[0] != box or abs(pixel_size_angstrom / pixel - 1) > 1e-3:
        why = f"it came with {volume.shape[0]} px of {pixel_size_angstrom:.4g} Å"
        job.decision("reference resampled", f"{box} px of {pixel:.4g} Å", why)
    return resample_volume(torch.tensor(volume), pixel_size_angstrom, pixel, box)


def _restored(job: JobContext) -> RefinementState | None:
    stored = load_checkpoint(job.checkpoints)
    if stored is None:
        return None
    job.log(f"resumed after iteration {stored.step}")
    return RefinementState(**record_fields(stored, device=job.device, on_cpu=_ON_THE_CPU))


def _report_iteration(job: JobContext, particles: ParticleSet, state: RefinementState) -> None:
    resolution = _resolution(state.fsc_corrected, particles, FSC_THRESHOLD)
    unmasked = _resolution(state.fsc, particles, FSC_THRESHOLD)
    changed = float(state.pose_change_deg.median())
    job.log(
        f"iteration {state.iteration}: FSC 0.143 at {resolution:.2f} Å ({unmasked:.2f} Å without mask), "
        f"poses moved {changed:.2f}° (median); "
        f"next: {state.phase}, rings up to {state.r_max_px}"
    )
    job.metrics(
        iterations=state.iteration,
        resolution_angstrom=resolution,
        resolution_unmasked_angstrom=unmasked,
        fsc_0_5_angstrom=_resolution(state.fsc_corrected, particles, 0.5),
        mask_fraction=float(state.mask.mean()),
        particles=len(particles),
        particles_without_signal=int((state.log_gain < 0).sum()),
        pose_change_median_deg=changed,
        shift_width_px=state.sigma_shift_px,
    )
    start = job.parameters.start_resolution_angstrom
    plot_fsc(
        job.plots / "fsc.png",
        state.curves,
        particles.box_size_px * particles.pixel_size_angstrom,
        title=f"{resolution:.2f} Å at FSC 0.143, {unmasked:.2f} Å without mask (iteration {state.iteration})",
        marks=[Mark(1 / start, f"low-pass of the start map, {start:g} Å", color="#c8553d")],
    )
    plot_orthogonal_slices(
        job.plots / "slices.png",
        combined_map(state).cpu().numpy(),
        title=f"map after iteration {state.iteration}",
    )


def _write(job: JobContext, tables: ParticleTables, particles: ParticleSet, state: RefinementState) -> None:
    pixel = particles.pixel_size_angstrom
    resolution = _resolution(state.fsc_corrected, particles, FSC_THRESHOLD)
    report_pixel_limit(job, resolution, box_size_px=particles.box_size_px, pixel_size_angstrom=pixel)
    for half in (0, 1):
        write_mrc(job.out / f"half{half + 1}.mrc", state.half_maps[half].cpu().numpy(), pixel)
    write_mrc(job.out / "map.mrc", combined_map(state).cpu().numpy(), pixel)
    write_mrc(job.out / "mask.mrc", state.mask.cpu().numpy(), pixel)
    posed = with_poses(tables, state.rotation, state.shift_px)
    rows = posed.particles.assign(rlnRandomSubset=state.half_set.numpy())
    write_particles(job.out / "particles.star", replace(posed, particles=rows))
    write_star(job.out / "fsc.star", {"fsc": fsc_table(state.curves, pixel * particles.box_size_px)})
    _plot_orientations(job, state)
    _write_envelopes(job, posed, particles, state)
    plot_histogram(
        job.plots / "pose_change.png",
        [("", state.pose_change_deg.clamp(max=30).numpy())],
        x_label="last change of the orientation (deg)",
        title="How still the poses stand",
    )


def _write_envelopes(
    job: JobContext, tables: ParticleTables, particles: ParticleSet, state: RefinementState
) -> None:
    """Signal strength of each micrograph, the mean of both halves."""
    if particles.micrograph is None:
        return
    scale, b_factor = state.envelope.mean(0).cpu().numpy().T
    numbers = particles.micrograph.numpy()
    first = np.unique(numbers, return_index=True)[1]
    table = pd.DataFrame(
        {
            "rlnMicrographName": tables.particles["rlnMicrographName"].to_numpy()[first],
            "rlnGroupNrParticles": np.bincount(numbers),
            "rlnGroupScaleCorrection": scale,
            "ccGroupBfactor": b_factor,
        }
    )
    write_star(job.out / "micrograph_envelopes.star", {"model_groups": table})
    with panels(job.plots / "envelopes.png") as axes:
        axes[0, 0].scatter(b_factor, scale, s=14)
        label_axes(
            axes[0, 0],
            x_label="B-factor relative to the mean (Å²)",
            y_label="signal scale",
            title="Signal of each micrograph",
        )


def _resolution(curve: Tensor, particles: ParticleSet, threshold: float) -> float:
    return resolution_angstrom(curve, threshold, particles.box_size_px, particles.pixel_size_angstrom)


def _plot_orientations(job: JobContext, state: RefinementState) -> None:
    rot, tilt, _ = euler_from_rotation(state.rotation)
    counts, _, _ = np.histogram2d(
        np.cos(np.deg2rad(tilt.numpy())), rot.numpy(), bins=(18, 36), range=((-1, 1), (-180, 180))
    )
    with panels(job.plots / "orientations.png", size_in=(6.4, 3.4)) as axes:
        draw_heat_map(
            axes[0, 0],
            counts,
            extent=(-180, 180, -1, 1),
            x_label="rot (deg)",
            y_label="cos(tilt), equal areas",
            title="Viewing directions",
            value_label="particles",
        )
