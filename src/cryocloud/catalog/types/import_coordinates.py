"""Take picks that another program made into a project."""

from __future__ import annotations

from cryocloud.catalog.base import REQUIRED, Facts, Forecast, Group, Input, JobType, Parameters, parameter

CPU_S_PER_PLOT = 0.6


class ImportCoordinatesParameters(Parameters):
    particle_diameter_angstrom: float = parameter(
        REQUIRED,
        unit="Å",
        help="Diameter of the particle: circles of the pictures, and picks within a tenth of it are one particle",
        gt=20,
        lt=5000,
    )
    flip_y: bool = parameter(
        False, help="Count y from the other edge, for programs that read micrographs upside down"
    )
    plot_count: int = parameter(5, help="Micrographs that are drawn with their picks, to check", ge=0)


def forecast(parameters: ImportCoordinatesParameters, facts: Facts) -> Forecast:
    plots = min(parameters.plot_count, facts.items)
    pixels = facts.image_height_px * facts.image_width_px
    return Forecast(
        memory_bytes=5e8 + 40 * pixels,
        disk_bytes=1e5 + 500 * facts.items + 2e5 * plots,
        cpu_s=4 + CPU_S_PER_PLOT * plots,
    )


JOB_TYPE = JobType(
    name="import_coordinates",
    version=1,
    title="Import coordinates",
    summary="Makes picks of coordinates from RELION, cryoSPARC, EMAN or Topaz, for micrographs that are known.",
    parameters=ImportCoordinatesParameters,
    inputs=(
        Input(
            "input",
            "coordinate_files",
            "STAR, .cs, EMAN .box or text (x and y in each line); a file, a folder, or a pattern in quotes",
        ),
        Input(
            "micrographs", "micrographs", "micrographs.star that the coordinates belong to, with CTF if known"
        ),
    ),
    outputs=("picks.star", "exceptions.csv"),
    groups=(Group("picks", "picks.star", "picks"),),
    forecast=forecast,
    rests_on=("items",),
)
