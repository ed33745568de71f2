"""Agreement of a map with a model of known size, and the map's true pixel size."""

from __future__ import annotations

from cryocloud.catalog.base import Facts, Forecast, Input, JobType, Parameters, parameter


class MapToModelParameters(Parameters):
    symmetry: str = parameter("C1", help="Point group of the map")
    align_resolution_angstrom: float = parameter(
        12.0, unit="Å", help="Detail used to find the model's pose on the map", gt=3, le=50
    )
    fit_from_angstrom: float = parameter(
        20.0,
        unit="Å",
        help="Coarsest detail used for the pixel size; beyond it solvent contrast shows",
        gt=5,
        le=60,
    )
    pixel_size_reach: float = parameter(
        0.04, help="Pixel sizes are tried this far to both sides, relative", gt=0.005, le=0.055
    )
    search_hand: bool = parameter(True, help="Also try the mirror image of the model")


def forecast(parameters: MapToModelParameters, facts: Facts) -> Forecast:
    voxels = facts.box_size_px**3
    return Forecast(memory_bytes=5e8 + 250 * voxels, disk_bytes=5 * voxels, cpu_s=5 + 1e-5 * voxels)


JOB_TYPE = JobType(
    name="map_to_model",
    version=1,
    title="Map to model",
    summary="Lays a model on a map, measures their FSC, and finds the pixel size at which they agree best.",
    parameters=MapToModelParameters,
    inputs=(
        Input("map", "map", "Density map (MRC), sharpened or not"),
        Input("model", "model", "Whole assembly as PDB or mmCIF, or its map (MRC) of known pixel size"),
    ),
    outputs=("model_placed.mrc", "fsc.star"),
    forecast=forecast,
    rests_on=("box_size_px",),
)
