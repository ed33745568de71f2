"""What apps above this one know of it: jobs that read a dataset, and bytes that count as storage besides uploads.

They register in ``AppConfig.ready``, because a dataset must not be purged under a running job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma

from cryocloud.web.core.errors import Conflict
from cryocloud.web.data.models import Dataset


@dataclass(frozen=True)
class JobUse:
    """A job that reads a dataset, directly or through the results of another."""

    job_id: str
    label: str
    is_active: bool


_readers: list[Callable[[Dataset], list[JobUse]]] = []
_counters: list[Callable[[str], int]] = []


def register_readers(report: Callable[[Dataset], list[JobUse]]) -> None:
    _readers.append(report)


def register_storage(count: Callable[[str], int]) -> None:
    """``count(organization_id)`` gives bytes at rest."""
    _counters.append(count)


def jobs_using(dataset: Dataset) -> list[JobUse]:
    return [use for report in _readers for use in report(dataset)]


def require_unused(dataset: Dataset) -> None:
    """Raise while a job that has not ended reads the dataset; the message names it."""
    require_none_active(dataset.name, jobs_using(dataset))


def require_none_active(name: str, uses: list[JobUse]) -> None:
    active = [use for use in uses if use.is_active]
    if active:
        raise Conflict(_in_use_message(name, active))


def _in_use_message(name: str, active: list[JobUse]) -> str:
    named = ", ".join(use.label for use in active[:5])
    more = f" and {intcomma(len(active) - 5)} more" if len(active) > 5 else ""
    return f"“{name}” is being read by {named}{more}. Wait for their end, or cancel them, then delete it."


def further_bytes(organization_id: str) -> int:
    return sum(count(organization_id) for count in _counters)
