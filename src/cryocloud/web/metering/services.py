"""How much compute an organization has used, holds for running attempts, and has left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, FloatField, Sum
from django.db.models.functions import Least

from cryocloud.catalog.forecasting import REVISION, Cost
from cryocloud.web.core.errors import QuotaExceeded
from cryocloud.web.metering.grants import Claim, hold_moment, settle
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.metering.quota_words import used_up_words
from cryocloud.web.metering.reports import records_of
from cryocloud.web.organizations.models import Organization


@dataclass(frozen=True)
class Measured:
    """What the runner measured of one attempt, and how it ended; ``counted`` was foreseen if it is a whole job."""

    job_id: str
    job_type: str
    boot_id: str
    from_s: float
    until_s: float
    cpu_s: float
    gpus: int
    gpu_class: str
    peak_memory_bytes: int
    read_bytes: int
    written_bytes: int
    ended: str
    exit_code: int | None
    cause: UsageRecord.Cause
    is_fault: bool
    was_stopped: bool
    started_at: datetime
    counted: Cost | None = None


def used_compute_s(organization: Organization) -> int:
    """Billed seconds of attempts that have ended in the present span."""
    limit = compute_limit(organization)
    rows = records_of(organization.pk, limit.from_at, limit.until_at)
    return int(rows.aggregate(s=Sum("billed_s", default=0))["s"])


def running_compute_s(organization: Organization) -> float:
    """Seconds of attempts that have not ended, as far as they will be billed."""
    rows = Reservation.unscoped.filter(organization=organization)
    billable_s = Least(F("used_s"), F("granted_s"), output_field=FloatField())
    return float(rows.aggregate(s=Sum(billable_s, default=0.0))["s"])


def compute_limit_s(organization: Organization) -> int | None:
    """All that the organization may use in the present span; None where there is no limit."""
    return compute_limit(organization).limit_s


def remaining_compute_s(organization: Organization) -> float | None:
    """What is left now, running attempts counted as far as they are; None where there is no limit."""
    limit_s = compute_limit_s(organization)
    if limit_s is None:
        return None
    return max(0.0, limit_s - used_compute_s(organization) - running_compute_s(organization))


def require_compute(organization: Organization) -> None:
    """Refuse new work where nothing is left."""
    remaining_s = remaining_compute_s(organization)
    if remaining_s is not None and remaining_s <= 0:
        raise QuotaExceeded(used_up_words(organization))


def can_start(organization: Organization) -> bool:
    """Whether anything is left beside what running attempts hold."""
    return ungranted_compute_s(organization) >= 1


def ungranted_compute_s(organization: Organization) -> float:
    """What no attempt holds; endless where there is no limit."""
    limit_s = compute_limit_s(organization)
    if limit_s is None:
        return float("inf")
    held = Reservation.unscoped.filter(organization=organization).aggregate(s=Sum("granted_s", default=0))
    return float(limit_s - used_compute_s(organization) - held["s"])


def why_no_compute(organization: Organization) -> str:
    """For a job that waits because of it; empty while something is left."""
    if can_start(organization):
        return ""
    if remaining_compute_s(organization):
        return "The compute that is left is held by jobs at work"
    return used_up_words(organization).rstrip(".")


def billed_seconds(organization_id: str, attempt_ids: list[str]) -> dict[str, int]:
    """By attempt, of those that have ended."""
    rows = UsageRecord.unscoped.filter(organization_id=organization_id, attempt_id__in=attempt_ids)
    return dict(rows.values_list("attempt_id", "billed_s"))


def organizations_out_of_compute() -> list[str]:
    """Those with attempts at work and nothing left to any of them: all is used, or the state allows none."""
    working = Organization.objects.filter(
        pk__in=Reservation.unscoped.values_list("organization_id", flat=True).distinct()
    )
    return [one.pk for one in working if remaining_compute_s(one) == 0]


def record_usage(claim: Claim, measured: Measured) -> int:
    """The one record of an attempt that has ended, in the transaction that ends it; the seconds that are billed."""
    counted = measured.counted or Cost(0.0, 0.0, 0.0)
    wall_s = measured.until_s - measured.from_s
    moment = hold_moment(claim.organization_id)
    most_s = settle(claim, claim.slots * wall_s, was_stopped=measured.was_stopped, moment=moment)
    record = UsageRecord.unscoped.create(
        organization_id=claim.organization_id,
        attempt_id=claim.attempt_id,
        job_id=measured.job_id,
        run_id=claim.run_id,
        project_id=claim.project_id,
        job_type=measured.job_type,
        boot_id=measured.boot_id,
        from_s=measured.from_s,
        until_s=measured.until_s,
        wall_s=wall_s,
        cpu_s=measured.cpu_s,
        slots=claim.slots,
        gpus=measured.gpus,
        gpu_class=measured.gpu_class,
        peak_memory_bytes=measured.peak_memory_bytes,
        read_bytes=measured.read_bytes,
        written_bytes=measured.written_bytes,
        billed_s=0 if measured.is_fault else most_s,
        ended=measured.ended,
        exit_code=measured.exit_code,
        cause=measured.cause,
        is_fault=measured.is_fault,
        started_at=measured.started_at,
        finished_at=moment,
        counted_revision=REVISION if measured.counted else 0,
        counted_cpu_s=counted.cpu_s,
        counted_wall_s=counted.wall_s,
        counted_memory_bytes=counted.memory_bytes,
    )
    return record.billed_s
