"""Start maps from particles alone."""

from __future__ import annotations

from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter
from cryocloud.catalog.symmetry import group_order

# Measured: an update takes 0.3 s and 1 ms a particle of its batch, a pass 1 ms a particle and more without symmetry.
CPU_S_PER_UPDATE, CPU_S_PER_SEARCHED = 0.33, 1.1e-3
CPU_S_PER_PASSED, CPU_S_PER_PASSED_WITHOUT_SYMMETRY = 1e-3, 3.5e-3
LIKELY_STARTS = 2.5
ORIENTATIONS_MAX = 40_000
UNKNOWN_PIXEL_ANGSTROM = 3.0


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
    """Mini-batches of each start, then passes over all particles in a box that holds the finest detail."""
    operators = group_order(parameters.symmetry)
    pixel_angstrom = facts.pixel_size_angstrom or UNKNOWN_PIXEL_ANGSTROM
    ring_px = facts.box_size_px * min(0.45, pixel_angstrom / parameters.last_resolution_angstrom)
    batch = parameters.classes * (parameters.first_batch + parameters.last_batch) / 2
    starts = min(parameters.max_starts, LIKELY_STARTS)
    orientations = 72 * 8**3 * parameters.classes / operators
    while orientations > ORIENTATIONS_MAX:
        orientations /= 8
    voxels = parameters.classes * facts.box_size_px**3
    passed_s = CPU_S_PER_PASSED + CPU_S_PER_PASSED_WITHOUT_SYMMETRY / operators
    return Forecast(
        memory_bytes=6.4e8 + 47 * ring_px**2 * orientations + 19 * ring_px**2 * facts.items + 30 * voxels,
        disk_bytes=1e6 + 5 * voxels + 500 * facts.items,
        cpu_s=6
        + starts * parameters.updates * (CPU_S_PER_UPDATE + CPU_S_PER_SEARCHED * batch)
        + parameters.passes * facts.items * parameters.classes * passed_s,
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
    keeps_checkpoints=True,
)
