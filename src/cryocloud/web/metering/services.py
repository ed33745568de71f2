"""How much compute an organization has used, holds for running attempts, and has left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from cryocloud.catalog.forecasting import REVISION, Cost
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import QuotaExceeded
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import standing

RESERVED_AHEAD_S = 60
"""Held for an attempt beyond what it has used, so that two of them cannot start on the same last minute."""


@dataclass(frozen=True)
class Measured:
    """What the runner measured of one attempt, and how it ended; ``counted`` was foreseen if it is a whole job."""

    attempt_id: str
    job_type: str
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    ended: str
    billed_s: float
    started_at: datetime
    counted: Cost | None = None


def used_compute_s(organization: Organization) -> int:
    """Billed seconds of attempts that have ended."""
    return UsageRecord.unscoped.filter(organization=organization).aggregate(s=Sum("billed_s"))["s"] or 0


def running_compute_s(organization: Organization) -> float:
    """Seconds of attempts that have not ended."""
    return Reservation.unscoped.filter(organization=organization).aggregate(s=Sum("used_s"))["s"] or 0.0


def compute_limit_s(organization: Organization) -> int | None:
    """All that the organization may use; None where there is no limit."""
    if not standing(organization).may_compute:
        return 0
    if organization.compute_hours_max is not None:
        return organization.compute_hours_max * 3600
    if standing(organization).state == Organization.State.TRIAL:
        return configuration().trial_compute_hours * 3600
    return None


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
        raise QuotaExceeded(_used_up(organization))


def _used_up(organization: Organization) -> str:
    whom = configuration().contact_words
    if not standing(organization).may_compute:
        return f"This organization may not compute any more. Results stay; to go on, write to {whom}."
    hours = (compute_limit_s(organization) or 0) // 3600
    if standing(organization).state == Organization.State.TRIAL:
        return (
            f"The {hours:,} hours of compute of the trial are used up. Results stay; to go on, write to {whom} "
            "for a plan."
        )
    return f"The {hours:,} hours of compute of the plan are used up. Results stay; to go on, write to {whom} for more."


def used_up_message(organization: Organization) -> str:
    """For a job that was stopped because nothing is left."""
    return (
        f"Stopped at its last checkpoint. {_used_up(organization)} Then retry the job: it goes on from there."
    )


def can_start(organization: Organization) -> bool:
    """Whether anything is left beside what running attempts hold."""
    limit_s = compute_limit_s(organization)
    if limit_s is None:
        return True
    held_s = Reservation.unscoped.filter(organization=organization).aggregate(s=Sum("reserved_s"))["s"] or 0.0
    return limit_s - used_compute_s(organization) - held_s > 0


def why_no_compute(organization: Organization) -> str:
    """For a job that waits because of it; empty while something is left."""
    if can_start(organization):
        return ""
    if remaining_compute_s(organization):
        return "The compute that is left is held by jobs at work"
    return _used_up(organization).rstrip(".")


def reserve_compute(organization: Organization, attempt_id: str) -> bool:
    """Hold a first minute for an attempt; False if less than anything is left beside what others hold."""
    if not can_start(organization):
        return False
    Reservation.unscoped.create(
        organization=organization, attempt_id=attempt_id, reserved_s=RESERVED_AHEAD_S, used_s=0.0
    )
    return True


def note_running(attempt_id: str, used_s: float) -> None:
    """What a running attempt has used so far."""
    Reservation.unscoped.filter(attempt_id=attempt_id).update(
        used_s=used_s, reserved_s=used_s + RESERVED_AHEAD_S
    )


def billed_seconds(organization_id: str, attempt_ids: list[str]) -> dict[str, int]:
    """By attempt, of those that have ended."""
    rows = UsageRecord.unscoped.filter(organization_id=organization_id, attempt_id__in=attempt_ids)
    return dict(rows.values_list("attempt_id", "billed_s"))


def organizations_out_of_compute() -> list[str]:
    """Those with attempts at work and nothing left."""
    working = Organization.objects.filter(
        pk__in=Reservation.unscoped.values_list("organization_id", flat=True).distinct()
    )
    return [one.pk for one in working if remaining_compute_s(one) == 0]


def record_usage(organization_id: str, measured: Measured) -> None:
    """The one record of an attempt that has ended, in the transaction that ends it."""
    counted = measured.counted or Cost(0.0, 0.0, 0.0)
    UsageRecord.unscoped.create(
        organization_id=organization_id,
        attempt_id=measured.attempt_id,
        job_type=measured.job_type,
        wall_s=measured.wall_s,
        cpu_s=measured.cpu_s,
        peak_memory_bytes=measured.peak_memory_bytes,
        billed_s=math.ceil(measured.billed_s),
        ended=measured.ended,
        started_at=measured.started_at,
        finished_at=now(),
        counted_revision=REVISION if measured.counted else 0,
        counted_cpu_s=counted.cpu_s,
        counted_wall_s=counted.wall_s,
        counted_memory_bytes=counted.memory_bytes,
    )
    Reservation.unscoped.filter(attempt_id=measured.attempt_id).delete()
