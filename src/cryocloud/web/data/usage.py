"""What apps above this one know of it: jobs that read a dataset, and bytes that count as storage besides uploads.

They register in ``AppConfig.ready``, because a dataset must not be purged under a running job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def further_bytes(organization_id: str) -> int:
    return sum(count(organization_id) for count in _counters)
