"""Refine a map from particles in two independent halves."""

from __future__ import annotations

from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter
from cryocloud.catalog.symmetry import group_order

# Measured: 1.7 s an iteration for two maps of 96 px without symmetry, and 5 ms for each particle of that size.
ITERATIONS_EXPECTED = 7
CPU_S_PER_VOXEL, CPU_S_PER_VOXEL_AND_OPERATOR = 1.5e-6, 4e-7
CPU_S_PER_PARTICLE, CPU_S_PER_PIXEL = 2.5e-3, 2.7e-7


class RefineParameters(Parameters):
    symmetry: str = parameter("C1", help="Point group imposed on the map: C1, C4, D2, T, O, I, I1 ...")
    mask_diameter_angstrom: float | None = parameter(
        None, unit="Å", help="Diameter of the soft mask; 90 % of the box if not given", gt=10
    )
    start_resolution_angstrom: float = parameter(
        30.0, unit="Å", help="Low-pass of the reference; the halves share nothing finer", gt=4, le=100
    )
    shift_range_angstrom: float = parameter(
        15.0, unit="Å", help="Search range for shifts in the first iteration", gt=0, le=200
    )
    max_iterations: int = parameter(25, help="Iterations at most; it stops by itself before", ge=2, le=100)
    max_modes: int = parameter(
        4, help="Orientations a particle may keep while they cannot be told apart", ge=1, le=20
    )
    max_orientations: int = parameter(
        40_000, help="Size of the global search grid at most; more is slower and rarely better", ge=500
    )


def forecast(parameters: RefineParameters, facts: Facts) -> Forecast:
    voxels, pixels = facts.box_size_px**3, facts.box_size_px**2
    iterations = min(parameters.max_iterations + 1, ITERATIONS_EXPECTED)
    maps_s = voxels * (CPU_S_PER_VOXEL + CPU_S_PER_VOXEL_AND_OPERATOR * group_order(parameters.symmetry))
    poses_s = facts.items * (CPU_S_PER_PARTICLE + CPU_S_PER_PIXEL * pixels)
    return Forecast(
        memory_bytes=7.5e8 + 560 * voxels + 1000 * facts.items,
        disk_bytes=24 * voxels + 1000 * facts.items,
        cpu_s=6 + iterations * (maps_s + poses_s),
    )


def expects(parameters: RefineParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    return {
        "particles": facts.items,
        "resolution_unmasked_angstrom": parameters.start_resolution_angstrom / 3,
    }


JOB_TYPE = JobType(
    name="refine",
    version=1,
    title="3D refinement",
    summary="Finds each particle's pose and the map at once, in two halves that never meet (gold standard).",
    parameters=RefineParameters,
    inputs=(
        Input("input", "particles", "particles.star"),
        Input("reference", "map", "Start map (MRC); its pixel size and gray scale are matched by itself"),
    ),
    outputs=("particles.star", "half1.mrc", "half2.mrc", "map.mrc", "mask.mrc", "fsc.star"),
    groups=(
        Group("map", "map.mrc", "map"),
        Group("half_maps", "", "half maps"),
        Group("particles", "particles.star", "refined particles"),
        Group("mask", "mask.mrc", "mask"),
    ),
    forecast=forecast,
    rests_on=("items", "box_size_px"),
    expects=expects,
    keeps_checkpoints=True,
)
