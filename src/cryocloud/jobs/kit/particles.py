"""What every job on particle images does first."""

from __future__ import annotations

from cryocloud.catalog.base import Facts, JobType
from cryocloud.compute.context import JobContext
from cryocloud.engine.io.table_records import particle_set
from cryocloud.engine.io.tables import ParticleTables, read_particles
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.jobs.kit.optics import require_possible_optics
from cryocloud.jobs.kit.particle_rows import each_image_once, each_place_once, with_numbers
from cryocloud.jobs.kit.preflight import require_pixel_size, require_resources

DEFAULT_MASK_FRACTION = 0.9


def load_particles(job: JobContext, job_type: JobType) -> tuple[ParticleTables, ParticleSet]:
    """The particles of ``input`` without bad rows and copies, after checks of optics, memory and disk.

    Raises
    ------
    InputError
        Impossible optics, no usable particle, or too little memory or disk.
    """
    source = job.inputs["input"]
    tables = with_numbers(job, each_image_once(job, read_particles(source)))
    require_possible_optics(tables.optics, str(source))
    particles = particle_set(tables)
    tables = each_place_once(job, tables, particles)
    if len(tables) < len(particles):
        particles = particle_set(tables)
    require_pixel_size(particles.pixel_size_angstrom, "optics of the particles")
    facts = Facts(items=len(particles), box_size_px=particles.box_size_px)
    require_resources(job_type.forecast(job.parameters, facts), job.out)
    return tables, particles


def mask_diameter_angstrom(job: JobContext, particles: ParticleSet) -> float:
    """The mask that was asked for, or 90 % of the box."""
    given: float | None = job.parameters.mask_diameter_angstrom
    if given is not None:
        return given
    chosen = DEFAULT_MASK_FRACTION * particles.box_size_px * particles.pixel_size_angstrom
    job.decision("mask diameter", f"{chosen:.0f} Å", "90 % of the box, as none was given")
    return chosen
