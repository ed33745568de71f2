"""The job type of somebody who got into a job process."""

from typing import Any

from cryocloud.catalog.base import Facts, Forecast, Input, JobType, Parameters, parameter


class HostileParameters(Parameters):
    escapes: tuple[str, ...] = parameter((), help="Names of functions of the job, one after the other")
    facts: dict[str, Any] = parameter({}, help="What the attacker knows of the machine")


def forecast(parameters: HostileParameters, facts: Facts) -> Forecast:
    return Forecast(memory_bytes=1e6, disk_bytes=1e3, cpu_s=1.0)


JOB_TYPE = JobType(
    name="hostile",
    version=1,
    title="Hostile",
    summary="Tries to get out.",
    parameters=HostileParameters,
    inputs=(Input("input", "text", "any dataset", required=False),),
    outputs=(),
    forecast=forecast,
)
