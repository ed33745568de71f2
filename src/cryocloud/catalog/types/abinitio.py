"""Start maps from particles alone."""

from __future__ import annotations

from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter

WORKING_BOX_PX = 64
CPU_S_PER_START = 40.0
CPU_S_PER_PARTICLE = 0.02


class AbinitioParameters(Parameters):
    symmetry: str = parameter("C1", help="Point group; its axes are searched in a map made without it")
    classes: int = parameter(1, help="Number of maps the particles are sorted into", ge=1, le=10)
    max_starts: int = parameter(
        4,
        help="Random starts are made until two agree, at most so many; agreement tells how far to trust the map",
        ge=2,
        le=20,
    )
    mask_diameter_angstrom: float | None = parameter(
        None, unit="Å", help="Diameter of the soft mask; 90 % of the box if not given", gt=10
    )
    first_resolution_angstrom: float = parameter(
        40.0, unit="Å", help="Detail used by the first updates", gt=10, le=200
    )
    last_resolution_angstrom: float = parameter(
        12.0, unit="Å", help="Finest detail used at the end", gt=3, le=60
    )
    shift_range_angstrom: float = parameter(
        20.0, unit="Å", help="How far a particle may lie from the center of its box", gt=0, le=200
    )
    updates: int = parameter(120, help="Mini-batches of each start", ge=10, le=2000)
    passes: int = parameter(4, help="Passes over all particles that refine the best start", ge=1, le=50)
    first_batch: int = parameter(200, help="Particles of the first mini-batch", ge=20)
    last_batch: int = parameter(600, help="Particles of the last mini-batch", ge=20)


def forecast(parameters: AbinitioParameters, facts: Facts) -> Forecast:
    pixels = WORKING_BOX_PX**2
    return Forecast(
        memory_bytes=1e9 + 8 * pixels * facts.items + 30 * parameters.classes * facts.box_size_px**3,
        disk_bytes=2e7 + 4 * parameters.classes * facts.box_size_px**3 + 500 * facts.items,
        cpu_s=parameters.classes * parameters.max_starts * CPU_S_PER_START
        + parameters.passes * CPU_S_PER_PARTICLE * facts.items,
    )


def doubt(metrics: Mapping[str, float]) -> str:
    """What must be said plainly when the map may be wrong."""
    if metrics.get("trusted", 0) >= 1:
        return ""
    return (
        "The ab-initio map is not to be trusted, nor is anything that is refined from it; the warning of the "
        "ab-initio job names the doubts. More particles, a cleaner selection of classes or a known reference may help."
    )


def expects(parameters: AbinitioParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    return {
        "particles": facts.items,
        "trusted": 1.0,
        "resolution_angstrom": parameters.last_resolution_angstrom,
    }


JOB_TYPE = JobType(
    name="abinitio",
    version=1,
    title="Ab-initio map",
    summary="Makes a start map from particles alone, from several random starts, and says how far to trust it.",
    parameters=AbinitioParameters,
    inputs=(Input("input", "particles", "particles.star"),),
    outputs=("particles.star", "volume_class1.mrc"),
    groups=(
        Group("map", "volume_class1.mrc", "map"),
        Group("particles", "particles.star", "particles of the map"),
    ),
    forecast=forecast,
    rests_on=("items", "box_size_px"),
    expects=expects,
    doubt=doubt,
)
