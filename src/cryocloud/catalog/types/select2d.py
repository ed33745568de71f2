"""Keep the particles of good classes."""

from __future__ import annotations

from collections.abc import Mapping

from cryocloud.catalog.base import Facts, Forecast, Group, Input, JobType, Luck, Parameters, parameter


class Select2dParameters(Parameters):
    min_score: float = parameter(
        0.25, help="Classes with a lower score (0 to 1, see classes.star) are rejected", ge=0, le=1
    )
    min_particles: int = parameter(10, help="Classes with fewer particles are rejected", ge=1)
    include: tuple[int, ...] = parameter((), help="Classes to keep whatever their score, by number")
    exclude: tuple[int, ...] = parameter((), help="Classes to reject whatever their score, by number")


def forecast(parameters: Select2dParameters, facts: Facts) -> Forecast:
    return Forecast(memory_bytes=4.5e8 + 4000 * facts.items, disk_bytes=800 * facts.items + 1e5, cpu_s=3.5)


def expects(parameters: Select2dParameters, facts: Facts, luck: Luck) -> Mapping[str, float]:
    return {"particles": max(1, round(luck.of(0.5, 0.75, 0.95) * facts.items))}


JOB_TYPE = JobType(
    name="select2d",
    version=1,
    title="Select 2D classes",
    summary="Keeps the particles of classes that show particles, and says of each class why or why not.",
    parameters=Select2dParameters,
    inputs=(
        Input(
            "input",
            "particles",
            "particles.star of a 2D classification, with classes.star beside it",
            reads_images=False,
        ),
    ),
    outputs=("particles.star", "excluded.star", "selection.csv"),
    groups=(
        Group("particles", "particles.star", "selected particles"),
        Group("particles", "excluded.star", "excluded particles"),
    ),
    forecast=forecast,
    rests_on=("items",),
    expects=expects,
)
