"""Make a soft mask from a map, from what a person drew, or from both."""

from __future__ import annotations

from typing import Literal

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Parameters, parameter


class MakeMaskParameters(Parameters):
    begin_with: Literal["density", "nothing"] = parameter(
        "density", help="density: what of the map lies above the threshold; nothing: only what was drawn"
    )
    low_pass_angstrom: float = parameter(
        15.0, unit="Å", help="Low-pass of the map that the mask is cut from", gt=3, le=100
    )
    threshold: float | None = parameter(
        None,
        help="Density at which the low-passed map is cut; chosen from the map if not given",
        allow_inf_nan=False,
    )
    extension_angstrom: float = parameter(
        6.0,
        unit="Å",
        help="How far the mask reaches beyond the cut density and the drawn shapes",
        ge=0,
        le=100,
    )
    edge_angstrom: float = parameter(10.0, unit="Å", help="Width of the soft edge beyond that", gt=0, le=100)


def forecast(parameters: MakeMaskParameters, facts: Facts) -> Forecast:
    voxels = facts.box_size_px**3
    return Forecast(memory_bytes=6e8 + 60 * voxels, disk_bytes=1e6 + 4 * voxels, cpu_s=8 + 1.5e-6 * voxels)


JOB_TYPE = JobType(
    name="make_mask",
    version=1,
    title="Make a mask",
    summary="Cuts a soft mask from a map, and adds or takes away what a person drew.",
    parameters=MakeMaskParameters,
    inputs=(
        Input("input", "map", "Map (MRC) that the mask is for"),
        Input(
            "edits", "edits", "Shapes to add and take away (JSON), as the browser draws them", required=False
        ),
    ),
    outputs=("mask.mrc", "edits.json"),
    groups=(Group("mask", "mask.mrc", "mask"),),
    forecast=forecast,
    rests_on=("box_size_px",),
)
