"""What an order will take, as ranges: counted from its sizes, corrected by what such jobs took on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from cryocloud.catalog import load_job_type
from cryocloud.catalog.base import Facts, JobType
from cryocloud.catalog.forecasting import REVISION, Cost, JobRanges, Range
from cryocloud.catalog.range_words import duration_words, size_words
from cryocloud.catalog.rehearsal import StepForecast, Unforeseeable, forecast_workflow, missing_facts
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.configuration import configuration
from cryocloud.web.metering.experience import experience
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.sizes import facts_behind

RANGES = ("cpu_s", "wall_s", "memory_bytes", "disk_bytes")


@dataclass(frozen=True)
class OrderForecast:
    """Of one job, or of a workflow whose ``steps`` are those of the likely course. What is billed is wall time."""

    cpu_s: Range
    wall_s: Range
    memory_bytes: Range
    disk_bytes: Range
    threads: int
    items: int
    records: int
    least_memory_bytes: float
    steps: tuple[StepForecast, ...] = ()
    counted: Cost | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON, beside the order that it was made for."""
        kept: dict[str, Any] = {name: list(asdict(getattr(self, name)).values()) for name in RANGES}
        kept |= {"threads": self.threads, "records": self.records, "revision": REVISION}
        return kept | ({"counted": asdict(self.counted)} if self.counted else {})


def job_threads() -> int:
    """Processor threads of each job on this machine."""
    settings = configuration()
    return settings.threads_per_job or max(1, (os.cpu_count() or 1) // settings.slots)


def machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def forecast_order(
    ordered: JobType | Workflow, parameters: Any, inputs: Mapping[str, str], facts: Facts
) -> OrderForecast:
    """``parameters`` are validated. Raises ``Unforeseeable`` where too little is known of the inputs."""
    threads = job_threads()
    if isinstance(ordered, JobType):
        missing = missing_facts(ordered, facts)
        if missing:
            raise Unforeseeable(missing)
        found: JobRanges = experience().ranges(ordered.name, ordered.forecast(parameters, facts), threads)
        return OrderForecast(
            **{name: getattr(found, name) for name in RANGES},
            threads=threads,
            items=facts.items,
            records=found.records,
            least_memory_bytes=found.least_memory_bytes,
            counted=found.counted,
        )
    played = forecast_workflow(ordered, parameters, inputs, facts, experience=experience(), threads=threads)
    return OrderForecast(
        **{name: getattr(played, name) for name in RANGES},
        threads=threads,
        items=facts.items,
        records=sum(step.ranges.records for step in played.steps),
        least_memory_bytes=played.least_memory_bytes,
        steps=played.steps,
    )


def forecast_sentence(forecast: OrderForecast) -> str:
    """For those who read findings one by one."""
    items = f" for {forecast.items:,} items" if forecast.items else ""
    threads = f"{forecast.threads} CPU thread{'' if forecast.threads == 1 else 's'}"
    return (
        f"Takes {duration_words(forecast.wall_s)}{items} on {threads}, {size_words(forecast.memory_bytes)} of memory, "
        f"{size_words(forecast.disk_bytes)} of disk."
    )


def forecast_of_job(job: Job) -> dict[str, Any]:
    """For the row of a job that is being made; nothing where its cost cannot be foreseen."""
    job_type = load_job_type(job.job_type)
    try:
        parameters = job_type.parameters.model_validate(job.parameters)
        return forecast_order(job_type, parameters, job.inputs, facts_behind(job)).stored()
    except (Unforeseeable, ValidationError):
        return {}


def stored_range(forecast: Mapping[str, Any], name: str) -> Range | None:
    values = forecast.get(name)
    return Range(*values) if values else None


def stored_cost(forecast: Mapping[str, Any]) -> Cost | None:
    """What was counted for a job when it was made, if that can still be compared."""
    counted = forecast.get("counted")
    return Cost(**counted) if counted and forecast.get("revision") == REVISION else None
