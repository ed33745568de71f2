"""Resolution and sharpened map of two half maps."""

from __future__ import annotations

from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter


class PostprocessParameters(Parameters):
    b_factor_angstrom2: float | None = parameter(
        None,
        unit="Å²",
        help="Sharpening B-factor, negative sharpens; measured from the Guinier plot if not given",
    )
    guinier_from_angstrom: float = parameter(
        10.0,
        unit="Å",
        help="Coarse end of the Guinier fit; coarser shells show the particle's shape",
        gt=4,
        le=30,
    )
    low_pass_angstrom: float | None = parameter(
        None, unit="Å", help="Final low-pass; the resolution at FSC 0.143 if not given", gt=1, le=100
    )
    mask_low_pass_angstrom: float = parameter(
        15.0, unit="Å", help="Low-pass of the map that the mask is cut from", gt=3, le=100
    )
    mask_threshold: float | None = parameter(
        None, help="Density at which the low-passed map is cut; chosen from the map if not given"
    )
    mask_extension_angstrom: float = parameter(
        6.0, unit="Å", help="How far the mask reaches beyond the cut density", ge=0, le=100
    )
    mask_edge_angstrom: float = parameter(
        10.0, unit="Å", help="Width of the mask's soft edge beyond that", gt=0, le=100
    )
    randomize_below_fsc: float = parameter(
        0.8,
        help="Phases are randomized beyond the shell where the unmasked FSC falls below this",
        gt=0.1,
        lt=1,
    )
    symmetry: str = parameter("C1", help="Point group of the map, for the evenness of the views")


def forecast(parameters: PostprocessParameters, facts: Facts) -> Forecast:
    voxels = facts.box_size_px**3
    return Forecast(memory_bytes=4.7e8 + 115 * voxels, disk_bytes=13 * voxels, cpu_s=4 + 1.5e-6 * voxels)


def expects(parameters: PostprocessParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    """What a conclusion tells of the map; no step depends on it."""
    return {"resolution_angstrom": parameters.guinier_from_angstrom, "b_factor_angstrom2": 0.0}


JOB_TYPE = JobType(
    name="postprocess",
    version=1,
    title="Post-processing",
    summary="Masks two half maps, measures their resolution with the mask's own effect removed, and sharpens the map.",
    parameters=PostprocessParameters,
    inputs=(
        Input("input", "half_maps", "Folder of a refinement: half1.mrc and half2.mrc"),
        Input("mask", "mask", "Soft mask (MRC) to use in place of one cut from the map", required=False),
    ),
    outputs=("map_sharpened.mrc", "map_sharpened_masked.mrc", "mask.mrc", "fsc.star"),
    groups=(
        Group("map", "map_sharpened.mrc", "sharpened map"),
        Group("map", "map_sharpened_masked.mrc", "sharpened map in its mask"),
        Group("mask", "mask.mrc", "mask"),
    ),
    forecast=forecast,
    rests_on=("box_size_px",),
    expects=expects,
)
