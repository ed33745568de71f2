"""How near a result came to the truth that it was simulated from."""

from __future__ import annotations

from cryocloud.catalog.base import Facts, Forecast, Input, JobType, Parameters, parameter
from cryocloud.catalog.symmetry import PointGroup

CPU_S_PER_VOXEL = 3e-6


class CompareTruthParameters(Parameters):
    symmetry: PointGroup = parameter(
        "C1", help="Point group of the truth: poses that it makes equal are equal"
    )
    match_radius_angstrom: float = parameter(
        25.0, unit="Å", help="A pick nearer than this to a true particle is that particle", gt=0, le=1000
    )
    edge_margin_angstrom: float | None = parameter(
        None,
        unit="Å",
        help="True particles nearer than this to the border need not be found; half the extracted box if not given",
        ge=0,
        le=10_000,
    )


def forecast(parameters: CompareTruthParameters, facts: Facts) -> Forecast:
    voxels = facts.box_size_px**3
    return Forecast(
        memory_bytes=6e8 + 250 * voxels, disk_bytes=4 * voxels + 1e6, cpu_s=8 + CPU_S_PER_VOXEL * voxels
    )


JOB_TYPE = JobType(
    name="compare_truth",
    version=1,
    title="Comparison with the truth",
    summary="Lays a map on the true one and compares poses, shifts and picks with those that were simulated.",
    parameters=CompareTruthParameters,
    inputs=(
        Input(
            "input", "folder", "Folder of a job with particles.star, picks.star or map.mrc, or one such file"
        ),
        Input("truth", "truth", "truth.star of the simulation", required=False),
        Input("map", "map", "True map (MRC)", required=False),
    ),
    outputs=("fsc.star", "map_aligned.mrc"),
    forecast=forecast,
    rests_on=("box_size_px",),
)
