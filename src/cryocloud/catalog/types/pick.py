"""Pick particles on micrographs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from cryocloud.catalog.base import (
    REQUIRED,
    Facts,
    Forecast,
    Group,
    Input,
    JobType,
    Luck,
    Parameters,
    parameter,
)

# Measured on micrographs of 1024 to 2400 px: 0.6 to 1.3 s without references, 6 s with a map.
CPU_S_PER_PIXEL = 1.5e-7
CPU_S_PER_MICROGRAPH = {"log": 0.45, "template": 6.0}
REFERENCES_BYTES = {"log": 0.0, "template": 2.5e8}
CPU_S_PER_PLOT = 0.6


class PickParameters(Parameters):
    particle_diameter_angstrom: float = parameter(
        REQUIRED, unit="Å", help="Diameter of the particle", gt=20, lt=5000
    )
    method: Literal["log", "template"] = parameter(
        "log",
        help="log: round things of that diameter, by Laplacian of Gaussian and then by their own radial profile; "
        "template: what looks like the references",
    )
    particle_contrast: Literal["dark", "bright"] = parameter(
        "dark", help="How particles look on the micrographs"
    )
    min_distance_diameters: float = parameter(
        0.7, unit="diameters", help="Of two picks nearer than this the better one is kept", gt=0.1, le=5
    )
    false_pick_share: float = parameter(
        0.05,
        help="Share of picks that may be chance, judged on the micrograph with random phases",
        gt=0,
        lt=1,
    )
    score_min: float | None = parameter(
        None, help="Lowest score; replaces the threshold that the job finds", ge=-1, le=1
    )
    max_picks: int | None = parameter(None, help="Most picks on a micrograph", ge=1)
    template_resolution_angstrom: float = parameter(
        20.0, unit="Å", help="Low-pass filter of the references", gt=2, lt=100
    )
    plot_count: int = parameter(10, help="Micrographs that are drawn with their picks", ge=0)


def forecast(parameters: PickParameters, facts: Facts) -> Forecast:
    pixels = facts.image_height_px * facts.image_width_px
    plots = min(parameters.plot_count, facts.items)
    each_s = CPU_S_PER_MICROGRAPH[parameters.method] + CPU_S_PER_PIXEL * pixels
    return Forecast(
        memory_bytes=6e8 + REFERENCES_BYTES[parameters.method] + 30 * pixels,
        disk_bytes=1e5 + facts.items * 2e4 + 1.5e5 * plots,
        cpu_s=5 + facts.items * each_s + CPU_S_PER_PLOT * plots,
    )


def expects(parameters: PickParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    """By the area that particles cover: a fourteenth where they are sparse, a third where they are dense."""
    disc = math.pi / 4 * (parameters.particle_diameter_angstrom / max(facts.pixel_size_angstrom, 0.1)) ** 2
    on_each = luck.of(0.07, 0.17, 0.35) * facts.image_pixels / disc
    if parameters.max_picks is not None:
        on_each = min(on_each, parameters.max_picks)
    return {"micrographs": facts.items, "picks": max(1, round(on_each * facts.items))}


JOB_TYPE = JobType(
    name="pick",
    version=1,
    title="Pick particles",
    summary="Finds particles without labels, with references or without, and keeps what chance does not explain.",
    parameters=PickParameters,
    inputs=(
        Input("input", "micrographs", "micrographs.star with CTF"),
        Input(
            "reference",
            "images",
            "Class averages (.mrcs) or a map (.mrc), for method template",
            required=False,
        ),
    ),
    outputs=("picks.star", "exceptions.csv"),
    groups=(Group("picks", "picks.star", "picks"),),
    forecast=forecast,
    rests_on=("items", "image_width_px"),
    expects=expects,
    keeps_checkpoints=True,
)
