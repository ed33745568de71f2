"""Micrographs or movies of a map's particles in ice, with their truth."""

from __future__ import annotations

from cryocloud.catalog.base import Facts, Forecast, Group, JobType, parameter
from cryocloud.catalog.simulation import MAP_INPUT, ImagingParameters

# Measured: 0.6 s for a micrograph of 1200 x 1200 px with 90 particles, 0.15 s for each frame of a movie.
CPU_S_PER_PIXEL, CPU_S_PER_FRAME_PIXEL = 5e-7, 2.5e-7
BYTES_PER_CANVAS_PIXEL = 120


class SimulateMicrographsParameters(ImagingParameters):
    micrographs: int = parameter(8, help="Number of micrographs", ge=1, le=100_000)
    width_px: int = parameter(1200, unit="px", help="Width of the micrographs", ge=64, le=16384)
    height_px: int = parameter(1200, unit="px", help="Height of the micrographs", ge=64, le=16384)
    particles_per_micrograph: int = parameter(
        60, help="Particles of each micrograph, as far as they have room", ge=0, le=100_000
    )
    min_distance_angstrom: float | None = parameter(
        None,
        unit="Å",
        help="Smallest distance between two particles; 1.05 diameters if not given",
        ge=0,
        le=100_000,
    )
    dose_e_per_angstrom2: float = parameter(40.0, unit="e⁻/Å²", help="Electrons in all", gt=0, le=1000)
    ice_share: float = parameter(
        0.2, help="Share of the noise that is structure of the ice, seen through the CTF", ge=0, lt=1
    )
    thickness_slope: float = parameter(
        0.15, help="Change of brightness from one side of the micrograph to the other", ge=0, le=0.8
    )
    contaminations: float = parameter(0.5, help="Mean number of ice lumps on a micrograph", ge=0, le=1000)
    frames: int = parameter(
        0, help="Frames of a movie; 0 makes summed micrographs without motion", ge=0, le=1000
    )
    drift_angstrom: float = parameter(15.0, unit="Å", help="How far a movie drifts", ge=0, le=1000)
    doming_angstrom: float = parameter(
        4.0, unit="Å", help="How far the edges of a movie move besides", ge=0, le=200
    )


def forecast(parameters: SimulateMicrographsParameters, facts: Facts) -> Forecast:
    pixels = parameters.width_px * parameters.height_px
    images = max(parameters.frames, 1)
    work = CPU_S_PER_PIXEL + CPU_S_PER_FRAME_PIXEL * parameters.frames
    return Forecast(
        memory_bytes=6e8 + pixels * (BYTES_PER_CANVAS_PIXEL + 8 * images) + 130 * facts.box_size_px**3,
        disk_bytes=4.0 * pixels * images * parameters.micrographs + 1e7,
        cpu_s=5 + work * pixels * parameters.micrographs,
    )


JOB_TYPE = JobType(
    name="simulate_micrographs",
    version=1,
    title="Simulated micrographs",
    summary="Makes micrographs or movies of a map's particles in ice, with CTF, damage and noise, and keeps the truth.",
    parameters=SimulateMicrographsParameters,
    inputs=(MAP_INPUT,),
    outputs=("truth.star", "truth.json"),
    groups=(Group("truth", "truth.star", "true values"),),
    forecast=forecast,
    keeps_checkpoints=True,
)
