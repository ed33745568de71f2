"""Correct picks by hand, or pick all by hand."""

from __future__ import annotations

from cryocloud.catalog.base import REQUIRED, Facts, Forecast, Group, Input, JobType, Parameters, parameter

CPU_S_PER_PLOT = 0.6


class EditPicksParameters(Parameters):
    particle_diameter_angstrom: float = parameter(
        REQUIRED,
        unit="Å",
        help="Diameter of the particle: circles of the pictures; of added picks within a tenth of it one is kept",
        gt=20,
        lt=5000,
    )
    score_min: float | None = parameter(
        None, help="Leave out picks with a lower score; added ones stay", allow_inf_nan=False
    )
    plot_count: int = parameter(5, help="Micrographs that are drawn with their picks", ge=0)


def forecast(parameters: EditPicksParameters, facts: Facts) -> Forecast:
    plots = min(parameters.plot_count, facts.items)
    pixels = facts.image_height_px * facts.image_width_px
    return Forecast(
        memory_bytes=5e8 + 40 * pixels,
        disk_bytes=facts.items * 1e5 + 1e6 * plots,
        cpu_s=4 + CPU_S_PER_PLOT * plots,
    )


JOB_TYPE = JobType(
    name="edit_picks",
    version=1,
    title="Edit picks",
    summary="Takes picks above a score, without those a person erased and with those a person added.",
    parameters=EditPicksParameters,
    inputs=(
        Input("micrographs", "micrographs", "micrographs.star that was or shall be picked"),
        Input(
            "picks", "picks", "picks.star to begin with; without it all are picked by hand", required=False
        ),
        Input("edits", "edits", "What was added and erased (JSON), as the browser draws it", required=False),
    ),
    outputs=("picks.star", "edits.json", "exceptions.csv"),
    groups=(Group("picks", "picks.star", "edited picks"),),
    forecast=forecast,
    rests_on=("items", "image_width_px"),
)
