"""Take particle stacks that another program extracted into a project."""

from __future__ import annotations

from typing import Literal

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, parameter
from cryocloud.catalog.optics import OpticsParameters

# Measured on float32 images in the page cache.
CPU_S_PER_PIXEL_CHECKED = 1.0e-8
CPU_S_PER_PIXEL_WRITTEN = 1.5e-8
IMAGES_AT_A_TIME = 256


class ImportParticlesParameters(OpticsParameters):
    invert_contrast: Literal["auto", "yes", "no"] = parameter(
        "auto",
        help="Write inverted copies, for particles dark on bright ice; auto: where a .cs file says so",
    )


def forecast(parameters: ImportParticlesParameters, facts: Facts) -> Forecast:
    pixels = facts.box_size_px**2
    written_pixels = pixels * facts.items if parameters.invert_contrast == "yes" else 0
    return Forecast(
        memory_bytes=4.8e8 + 2000 * facts.items + 16 * IMAGES_AT_A_TIME * pixels,
        disk_bytes=2e5 + 500 * facts.items + 4 * written_pixels,
        cpu_s=4.6 + CPU_S_PER_PIXEL_CHECKED * pixels * facts.items + CPU_S_PER_PIXEL_WRITTEN * written_pixels,
    )


JOB_TYPE = JobType(
    name="import_particles",
    version=1,
    title="Import particles",
    summary="Reads particles of RELION 3.0 to 5 (STAR) or cryoSPARC (.cs) and checks every image.",
    parameters=ImportParticlesParameters,
    inputs=(Input("input", "particle_files", "A STAR file of RELION 3.0 to 5, or a .cs file of cryoSPARC"),),
    outputs=("particles.star", "particles.mrcs", "exceptions.csv"),
    groups=(Group("particles", "particles.star", "imported particles"),),
    rebuildable=("particles.mrcs",),
    forecast=forecast,
    rests_on=("items", "box_size_px"),
)
