"""What every job on particle images does first."""

from __future__ import annotations

from cryocloud.catalog.base import Facts, JobType
from cryocloud.compute.context import JobContext
from cryocloud.engine.io.tables import ParticleTables, particle_set, read_particles
from cryocloud.engine.records.particle_set import ParticleSet
from cryocloud.jobs.kit.preflight import require_pixel_size, require_resources

DEFAULT_MASK_FRACTION = 0.9


def load_particles(job: JobContext, job_type: JobType) -> tuple[ParticleTables, ParticleSet]:
    """The particles of ``input``, after checks of their pixel size and of the machine's memory and disk.

    Raises
    ------
    InputError
        An impossible pixel size, or too little memory or disk.
    """
    tables = read_particles(job.inputs["input"])
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
