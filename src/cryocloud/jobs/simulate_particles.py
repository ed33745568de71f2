"""Particle images of a map, with their truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryocloud.catalog.base import Facts
from cryocloud.catalog.types.simulate_particles import JOB_TYPE, SimulateParticlesParameters
from cryocloud.compute.context import JobContext
from cryocloud.engine.io.mrc import MrcStackWriter
from cryocloud.engine.io.table_records import with_poses
from cryocloud.engine.io.tables import ParticleTables, write_particles
from cryocloud.engine.simulate.particles import (
    PARTICLE,
    NoiseColor,
    ParticleImager,
    ParticleRecipe,
    ParticleTruth,
    draw_particles,
)
from cryocloud.jobs.kit.plots import plot_image_grid
from cryocloud.jobs.kit.preflight import require_resources
from cryocloud.jobs.kit.simulation import (
    defocus_columns,
    defocus_range,
    imaged_object,
    microscope,
    optics_table,
    views,
    write_truth,
)

BATCH = 200
SHOWN = 30


def run(job: JobContext) -> None:
    """Write ``particles.mrcs``, ``particles.star`` without poses and ``truth.star`` with them."""
    parameters: SimulateParticlesParameters = job.parameters
    volume, pixel_size_angstrom = imaged_object(job)
    box = int(volume.shape[-1])
    require_resources(JOB_TYPE.forecast(parameters, Facts(box_size_px=box)), job.out)
    recipe = _recipe(parameters, job.seed)
    truth = draw_particles(recipe)
    imager = ParticleImager(volume, recipe, truth, pixel_size_angstrom)
    with MrcStackWriter(job.out / "particles.mrcs", box, pixel_size_angstrom) as stack:
        for start in range(0, len(truth), BATCH):
            job.progress(start / len(truth), "images")
            stack.append(imager.images(np.arange(start, min(start + BATCH, len(truth)))).numpy())
    tables = _tables(job, parameters, truth, box, pixel_size_angstrom)
    # Nobody knows the envelope of real data.
    unknown = ParticleTables(tables.optics, tables.particles.drop(columns="rlnCtfBfactor"), tables.folder)
    write_particles(job.out / "particles.star", unknown)
    known = with_poses(tables, truth.rotation, truth.shift_px)
    content = known.particles.assign(cryocloudContent=truth.content)
    write_particles(job.out / "truth.star", ParticleTables(known.optics, content, known.folder))
    write_truth(job.out / "truth.json", job, pixel_size_angstrom=pixel_size_angstrom, box_size_px=box)
    _plot(job, imager, np.arange(min(SHOWN, len(truth))))
    job.metrics(
        particles=len(truth),
        junk=int((truth.content != PARTICLE).sum()),
        micrographs=int(truth.micrograph[-1]) + 1,
        box_size_px=box,
        pixel_size_angstrom=pixel_size_angstrom,
        snr=parameters.snr,
    )


def _recipe(parameters: SimulateParticlesParameters, seed: int) -> ParticleRecipe:
    return ParticleRecipe(
        count=parameters.particles,
        snr=parameters.snr,
        microscope=microscope(parameters),
        defocus=defocus_range(parameters),
        views=views(parameters),
        per_micrograph=parameters.particles_per_micrograph,
        shift_sd_px=parameters.shift_sd_px,
        noise=NoiseColor(parameters.noise),
        junk_share=parameters.junk_share,
        seed=seed,
    )


def _tables(
    job: JobContext,
    parameters: SimulateParticlesParameters,
    truth: ParticleTruth,
    box_size_px: int,
    pixel_size_angstrom: float,
) -> ParticleTables:
    optics = optics_table(
        parameters,
        {
            "rlnImagePixelSize": pixel_size_angstrom,
            "rlnMicrographOriginalPixelSize": pixel_size_angstrom,
            "rlnImageSize": box_size_px,
            "rlnImageDimensionality": 2,
        },
    )
    particles = pd.DataFrame(
        {
            "rlnImageName": [f"{row + 1:06d}@particles.mrcs" for row in range(len(truth))],
            "rlnMicrographName": [f"micrographs/mic_{number + 1:04d}.mrc" for number in truth.micrograph],
            "rlnOpticsGroup": np.ones(len(truth), dtype=np.int64),
            **defocus_columns(truth.ctf),
        }
    )
    return ParticleTables(optics, particles, job.out)


def _plot(job: JobContext, imager: ParticleImager, rows: NDArray[np.int64]) -> None:
    noisy, clean = imager.images(rows).numpy(), imager.signal(rows).cpu().numpy()
    pictures = [
        p
        for start in range(0, len(rows), 10)
        for p in (*noisy[start : start + 10], *clean[start : start + 10])
    ]
    plot_image_grid(
        job.plots / "particles.png", pictures, title="Particles, and below each the same without noise"
    )
