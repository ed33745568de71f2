"""Usage records with the names of what they belong to, for pages and for tables that people download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cryocloud.web.core.tables import write_table
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run

OF_RECORD = (
    "attempt_id", "job_type", "started_at", "finished_at", "boot_id", "from_s", "until_s", "wall_s", "slots", "gpus",
    "gpu_class", "cpu_s", "peak_memory_bytes", "read_bytes", "written_bytes", "ended", "exit_code", "cause", "is_fault",
    "billed_s",
)  # fmt: skip
COLUMNS = ("project_id", "project", "run_id", "run_number", "job_id", "job_number", *OF_RECORD)


@dataclass(frozen=True)
class UsageLine:
    """An attempt; names and numbers are None of what has been deleted."""

    record: UsageRecord
    project: str | None
    run_number: int | None
    job_number: int | None


def usage_lines(records: Sequence[UsageRecord]) -> list[UsageLine]:
    """In three queries, however many they are."""
    projects = project_names({one.project_id for one in records})
    runs = dict(Run.unscoped.filter(pk__in={one.run_id for one in records}).values_list("pk", "number"))
    jobs = dict(Job.unscoped.filter(pk__in={one.job_id for one in records}).values_list("pk", "number"))
    return [
        UsageLine(one, projects.get(one.project_id), runs.get(one.run_id), jobs.get(one.job_id))
        for one in records
    ]


def project_names(ids: Iterable[str]) -> dict[str, str]:
    """Without those that lie in the trash."""
    return dict(Project.unscoped.filter(pk__in=set(ids)).values_list("pk", "name"))


def usage_table(lines: Iterable[UsageLine]) -> str:
    """Everything recorded, as CSV."""
    return write_table(COLUMNS, (_cells(line) for line in lines))


def _cells(line: UsageLine) -> list[Any]:
    one = line.record
    named = [one.project_id, line.project, one.run_id, line.run_number, one.job_id, line.job_number]
    return named + [getattr(one, name) for name in OF_RECORD]
