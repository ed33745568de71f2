"""What was foreseen of jobs and runs, beside what they took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Max, QuerySet, Sum

from cryocloud.catalog.forecasting import Range, time_left
from cryocloud.catalog.range_words import duration_words, size_words
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.clock import now
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.organizations.access import visible
from cryocloud.web.pages.templatetags.wording import bytes_text, duration
from cryocloud.web.runs.forecasts import stored_range
from cryocloud.web.runs.models import Attempt, Job, Run


@dataclass(frozen=True)
class Foreseen:
    """In words; empty where nothing was foreseen, or nothing has been measured yet."""

    forecast: str
    took: str


def foreseen_of_job(actor: Actor, job: Job) -> Foreseen:
    attempts = visible(actor, Attempt).filter(job=job)
    records = visible(actor, UsageRecord).filter(job_id=job.pk)
    return _compared(job.forecast, attempts, records, is_over=job.state in Job.SUCCEEDED)


def foreseen_of_run(actor: Actor, run: Run) -> Foreseen:
    attempts = visible(actor, Attempt).filter(job__run=run)
    records = visible(actor, UsageRecord).filter(run_id=run.pk)
    return _compared(run.forecast, attempts, records, is_over=run.state == Run.State.DONE)


def _compared(
    forecast: Mapping[str, Any], attempts: QuerySet[Attempt], records: QuerySet[UsageRecord], *, is_over: bool
) -> Foreseen:
    expected = stored_range(forecast, "wall_s"), stored_range(forecast, "memory_bytes")
    if expected[0] is None or expected[1] is None:
        return Foreseen("", "")
    words = f"{duration_words(expected[0])}, {size_words(expected[1])} of memory"
    if not is_over:
        return Foreseen(words, "")
    used = attempts.aggregate(wall_s=Sum("wall_s"), memory=Max("peak_memory_bytes"))
    billed_s = records.aggregate(s=Sum("billed_s", default=0))["s"]
    took = f"{duration(used['wall_s'])}, {bytes_text(used['memory'])} of memory; {duration(billed_s)} billed"
    return Foreseen(words, took)


def time_left_of(job: Job) -> str:
    """Of a job at work, by its forecast and by its own pace; empty where there is no telling."""
    expected = stored_range(job.forecast, "wall_s")
    attempt = job.attempts.filter(state=Attempt.State.RUNNING).order_by("-number").first()
    if expected is None or attempt is None or attempt.started_at is None or job.cancel_requested_at:
        return ""
    left = time_left(expected, (now() - attempt.started_at).total_seconds(), job.progress)
    return "" if left is None else f"{duration_words(_at_least(left))} left"


def _at_least(left: Range) -> Range:
    """Nothing ends at once."""
    return Range(max(left.low, 1.0), max(left.likely, 1.0), max(left.high, 1.0))
