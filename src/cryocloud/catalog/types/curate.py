"""Reject micrographs that are not worth going on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter


class CurateParameters(Parameters):
    limits: Literal["auto", "given"] = parameter(
        "auto", help="auto: limits from physics and from the set, given ones replace them; given: only those"
    )
    weakest_direction_signal_min: float | None = parameter(
        None, help="Least signal power of the weakest direction relative to the strongest (drift)", ge=0, le=1
    )
    fit_resolution_max_angstrom: float | None = parameter(
        None, unit="Å", help="Coarsest resolution to which the CTF may be fitted", gt=0
    )
    figure_of_merit_min: float | None = parameter(
        None, help="Least correlation of spectrum and fit", ge=0, le=1
    )
    defocus_min_angstrom: float | None = parameter(None, unit="Å", help="Smallest defocus")
    defocus_max_angstrom: float | None = parameter(None, unit="Å", help="Largest defocus")
    astigmatism_max_angstrom: float | None = parameter(
        None, unit="Å", help="Largest difference of the two defoci", ge=0
    )
    ice_ring_max: float | None = parameter(None, help="Largest excess of power at 3.9 to 3.6 Å")
    intensity_min: float | None = parameter(None, help="Smallest mean gray value")
    intensity_max: float | None = parameter(None, help="Largest mean gray value")


def forecast(parameters: CurateParameters, facts: Facts) -> Forecast:
    return Forecast(memory_bytes=2e8 + 2000 * facts.items, disk_bytes=1e5 + 1000 * facts.items, cpu_s=2)


def expects(parameters: CurateParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    return {"micrographs": facts.items, "accepted": max(1, round(luck.of(0.8, 0.95, 1.0) * facts.items))}


JOB_TYPE = JobType(
    name="curate",
    version=1,
    title="Curate micrographs",
    summary="Rejects micrographs by CTF fit, drift, defocus, astigmatism, ice and intensity, each with its reason.",
    parameters=CurateParameters,
    inputs=(
        Input("input", "micrographs", "micrographs.star of a ctf job"),
        Input(
            "edits",
            "edits",
            "Micrographs that a person accepted or rejected whatever the limits (JSON)",
            required=False,
        ),
    ),
    outputs=("micrographs.star", "rejected.star", "rejected.csv", "edits.json", "exceptions.csv"),
    groups=(
        Group("micrographs", "micrographs.star", "accepted micrographs"),
        Group("micrographs", "rejected.star", "rejected micrographs"),
    ),
    forecast=forecast,
    rests_on=("items",),
    expects=expects,
)
