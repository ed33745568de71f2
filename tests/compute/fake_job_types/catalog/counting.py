"""A job type that does little and can go wrong in every way."""

from typing import Literal

from cryocloud.catalog.base import REQUIRED, Facts, Forecast, Input, JobType, Parameters, parameter

Mishap = Literal[
    "none",
    "bad_input",
    "bug",
    "memory",
    "disk_full",
    "killed",
    "segfault",
    "bad_items",
    "doubt",
    "sleep",
    "library_warning",
]


class CountingParameters(Parameters):
    steps: int = parameter(REQUIRED, unit="steps", help="How far to count", ge=1, le=1000)
    step_s: float = parameter(0.0, unit="s", help="Time that a step takes", ge=0)
    mishap: Mishap = parameter("none", help="What goes wrong")
    mishap_step: int = parameter(0, help="Where it goes wrong")
    weights: tuple[float, ...] = parameter((1.0,), help="Added one after the other at each step")
    limit: float | None = parameter(None, help="Upper bound of the sum")
    verbose: bool = parameter(False, help="Log each step")


def forecast(parameters: CountingParameters, facts: Facts) -> Forecast:
    return Forecast(memory_bytes=1e6, disk_bytes=1e3, cpu_s=0.1 * parameters.steps)


JOB_TYPE = JobType(
    name="counting",
    version=1,
    title="Counting",
    summary="Counts to a number and adds weights on the way.",
    parameters=CountingParameters,
    inputs=(
        Input("input", "text", "any file", required=False, literals=("nothing",)),
        Input("other", "folder", "any folder", required=False),
    ),
    outputs=("sum.txt",),
    forecast=forecast,
    keeps_checkpoints=True,
)
