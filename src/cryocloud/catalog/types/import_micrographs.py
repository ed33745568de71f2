"""Take aligned, summed micrographs into a project."""

from __future__ import annotations

from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck
from cryocloud.catalog.optics import OpticsParameters

# Measured on 16-bit micrographs in the page cache.
CPU_S_PER_PIXEL = 7e-9
ROWS_AT_A_TIME = 512


class ImportMicrographsParameters(OpticsParameters):
    pass


def forecast(parameters: ImportMicrographsParameters, facts: Facts) -> Forecast:
    pixels = facts.image_height_px * facts.image_width_px
    return Forecast(
        memory_bytes=4e8 + 16 * ROWS_AT_A_TIME * facts.image_width_px,
        disk_bytes=5e5 + 500 * facts.items,
        cpu_s=3.4 + CPU_S_PER_PIXEL * pixels * facts.items,
    )


def expects(parameters: ImportMicrographsParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    known = {
        "micrographs": facts.items,
        "image_height_px": facts.image_height_px,
        "image_width_px": facts.image_width_px,
        "pixel_size_angstrom": parameters.pixel_size_angstrom or facts.pixel_size_angstrom,
    }
    return {name: value for name, value in known.items() if value}


JOB_TYPE = JobType(
    name="import_micrographs",
    version=1,
    title="Import micrographs",
    summary="Checks aligned, summed micrographs (MRC) one by one and lists the good ones with their optics.",
    parameters=ImportMicrographsParameters,
    inputs=(
        Input(
            "input", "micrograph_files", "MRC files: a pattern in quotes, a folder, one file, or a STAR list"
        ),
    ),
    outputs=("micrographs.star", "exceptions.csv"),
    groups=(Group("micrographs", "micrographs.star", "imported micrographs"),),
    forecast=forecast,
    rests_on=("items", "image_width_px"),
    expects=expects,
    keeps_checkpoints=True,
)
