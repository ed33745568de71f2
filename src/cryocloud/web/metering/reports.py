"""What an organization used in a span, down to each attempt: for invoices, pages and exports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, QuerySet, Sum

from cryocloud.web.metering.models import StorageHour, UsageRecord


@dataclass(frozen=True)
class ComputeUse:
    """Billed seconds of slots of the attempts that ended in a span; ``attempts`` are their records, oldest first."""

    billed_s: int
    by_project: dict[str, int]
    attempts: tuple[UsageRecord, ...]


@dataclass(frozen=True)
class StorageUse:
    """The sum of the samples of a span, and how many there are: together the average."""

    byte_hours: int
    hours: int


def records_of(
    organization_id: str, from_at: datetime | None, until_at: datetime | None
) -> QuerySet[UsageRecord]:
    """Of attempts that ended in the half-open span, oldest first; None: without that end."""
    rows = UsageRecord.unscoped.filter(organization_id=organization_id)
    if from_at is not None:
        rows = rows.filter(finished_at__gte=from_at)
    if until_at is not None:
        rows = rows.filter(finished_at__lt=until_at)
    return rows.order_by("finished_at", "pk")


def usage_of(organization_id: str, from_at: datetime, until_at: datetime) -> ComputeUse:
    attempts = tuple(records_of(organization_id, from_at, until_at))
    return ComputeUse(sum(one.billed_s for one in attempts), billed_by_project(attempts), attempts)


def billed_by_project(records: Iterable[UsageRecord]) -> dict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    for one in records:
        found[one.project_id] += one.billed_s
    return dict(found)


def storage_of(organization_id: str, from_at: datetime, until_at: datetime) -> StorageUse:
    rows = StorageHour.unscoped.filter(organization_id=organization_id, hour__gte=from_at, hour__lt=until_at)
    found = rows.aggregate(sum=Sum("size_bytes", default=0), n=Count("pk"))
    return StorageUse(int(found["sum"]), found["n"])
