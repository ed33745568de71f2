"""Particle images of a map, with their truth."""

from __future__ import annotations

from typing import Literal

from cryocloud.catalog.base import Facts, Forecast, Group, JobType, parameter
from cryocloud.catalog.simulation import MAP_INPUT, ImagingParameters

# Measured: 1.2 ms for a particle of 96 x 96 px on one core, and 6 s to prepare a map of 240 px.
CPU_S_PER_PIXEL, CPU_S_PER_VOXEL = 1.3e-7, 4.6e-7


class SimulateParticlesParameters(ImagingParameters):
    particles: int = parameter(1000, help="Number of images", ge=1, le=10_000_000)
    particles_per_micrograph: int = parameter(50, help="Images that share one defocus", ge=1)
    shift_sd_px: float = parameter(2.0, unit="px", help="Standard deviation of each shift", ge=0, le=100)
    noise: Literal["white", "colored"] = parameter(
        "white", help="Spectrum of the noise: flat, or rising towards low frequencies as that of ice"
    )
    junk_share: float = parameter(
        0.0, help="Share of images without particle: half of them empty, half a lump of ice", ge=0, lt=1
    )


def forecast(parameters: SimulateParticlesParameters, facts: Facts) -> Forecast:
    box = facts.box_size_px or 128
    pixels = parameters.particles * box**2
    return Forecast(
        memory_bytes=5.2e8 + 160 * box**3,
        disk_bytes=4 * pixels + 500 * parameters.particles,
        cpu_s=5 + CPU_S_PER_PIXEL * pixels + CPU_S_PER_VOXEL * box**3,
    )


JOB_TYPE = JobType(
    name="simulate_particles",
    version=1,
    title="Simulated particles",
    summary="Makes particle images of a map with random views, shifts, CTF and noise, and keeps the truth.",
    parameters=SimulateParticlesParameters,
    inputs=(MAP_INPUT,),
    outputs=("particles.star", "particles.mrcs", "truth.star", "truth.json"),
    groups=(
        Group("particles", "particles.star", "simulated particles"),
        Group("truth", "truth.star", "true values"),
    ),
    rebuildable=("particles.mrcs",),
    forecast=forecast,
)
