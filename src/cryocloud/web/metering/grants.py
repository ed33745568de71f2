"""Compute that attempts hold while they are at work: granted ahead of use, settled at the end, never beyond the limit.

Everything happens under the lock of the organization: at any moment what is billed and what is granted are together no
more than the limit of the span, nor than the caps of the project and of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Sum

from cryocloud.web.core.clock import now
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.organizations.models import Organization

AHEAD_S = 60
"""Granted to each slot of an attempt beyond what it has used."""
ORPHANED_AFTER = timedelta(minutes=10)


class Shortage(StrEnum):
    """What there is not enough of."""

    QUOTA = "quota"
    CAP = "cap"


@dataclass(frozen=True)
class Claim:
    """An attempt that computes for a project, perhaps in a run, and what these may be billed in all; None: no cap."""

    organization_id: str
    attempt_id: str
    slots: int = 1
    project_id: str = ""
    run_id: str = ""
    project_cap_s: int | None = None
    run_cap_s: int | None = None


@transaction.atomic
def reserve(claim: Claim) -> Shortage | None:
    """The first grant of an attempt, or what keeps it from starting."""
    free_s, shortage = free_compute_s(claim)
    if free_s < 1:
        return shortage
    Reservation.unscoped.create(
        organization_id=claim.organization_id,
        attempt_id=claim.attempt_id,
        run_id=claim.run_id,
        project_id=claim.project_id,
        slots=claim.slots,
        granted_s=min(AHEAD_S * claim.slots, free_s),
    )
    return None


def note_use(claim: Claim, used_s: float) -> Shortage | None:
    """What an attempt at work has used of its slots; its grant grows ahead of that. A shortage: it must stop now."""
    held = Reservation.unscoped.filter(attempt_id=claim.attempt_id)
    granted_s = held.values_list("granted_s", flat=True).first()
    if granted_s is None or granted_s - used_s > AHEAD_S * claim.slots / 2:
        held.update(used_s=used_s)
        return None
    with transaction.atomic():
        free_s, shortage = free_compute_s(claim)
        row = held.select_for_update(no_key=True).first()
        if row is None:
            return None
        wanted_s = math.ceil(used_s) + AHEAD_S * claim.slots - row.granted_s
        row.granted_s += int(max(0, min(wanted_s, free_s)))
        row.used_s = used_s
        row.save(update_fields=["granted_s", "used_s"])
    return shortage if row.granted_s <= used_s else None


@transaction.atomic
def stop_granting(organization_id: str, attempt_id: str) -> None:
    """An attempt that must stop keeps what it has used; the rest is free, and what it takes to stop costs nothing."""
    _lock(organization_id)
    row = Reservation.unscoped.select_for_update(no_key=True).filter(attempt_id=attempt_id).first()
    if row is not None:
        row.granted_s = min(row.granted_s, math.floor(row.used_s))
        row.save(update_fields=["granted_s"])


def hold_moment(organization_id: str) -> datetime:
    """Under which something is recorded: nothing else of the organization is granted or recorded at it or before."""
    _lock(organization_id)
    return now()


def settle(claim: Claim, measured_s: float, *, was_stopped: bool, moment: datetime) -> int:
    """What is billed for an attempt that ended at a moment, in the transaction that records it; its grant goes.

    Time that was not granted yet, because nobody listened to the attempt, is granted now as far as it is free.
    """
    free_s, _ = free_compute_s(claim, without=claim.attempt_id, moment=moment)
    own = Reservation.unscoped.filter(attempt_id=claim.attempt_id)
    granted_s = own.values_list("granted_s", flat=True).first() or 0
    own.delete()
    most_s = min(granted_s, free_s) if was_stopped else free_s
    return int(max(0, min(math.floor(measured_s), most_s)))


def give_back(attempt_ids_at_work: QuerySet[Any, Any]) -> int:
    """What is held for attempts that are gone is free again; those that have just begun are left alone."""
    gone = Reservation.unscoped.exclude(attempt_id__in=attempt_ids_at_work)
    return gone.filter(created_at__lt=now() - ORPHANED_AFTER).delete()[0]


def free_compute_s(
    claim: Claim, *, without: str = "", moment: datetime | None = None
) -> tuple[float, Shortage]:
    """What can still be granted, endless where there is no limit, and what bounds it. Holds the organization."""
    organization = _lock(claim.organization_id)
    limit = compute_limit(organization, moment)
    records = UsageRecord.unscoped.filter(organization=organization)
    grants = Reservation.unscoped.filter(organization=organization).exclude(attempt_id=without)
    bounds: list[tuple[float, Shortage]] = [(math.inf, Shortage.QUOTA)]
    if limit.limit_s is not None:
        in_span = records if limit.from_at is None else records.filter(finished_at__gte=limit.from_at)
        bounds.append((limit.limit_s - _billed_s(in_span) - _granted_s(grants), Shortage.QUOTA))
    for cap_s, own in (
        (claim.project_cap_s, {"project_id": claim.project_id}),
        (claim.run_cap_s, {"run_id": claim.run_id}),
    ):
        if cap_s is not None:
            left_s = cap_s - _billed_s(records.filter(**own)) - _granted_s(grants.filter(**own))
            bounds.append((left_s, Shortage.CAP))
    return min(bounds, key=lambda bound: bound[0])


def _lock(organization_id: str) -> Organization:
    return Organization.objects.select_for_update(no_key=True).get(pk=organization_id)


def _billed_s(records: QuerySet[UsageRecord]) -> int:
    return int(records.aggregate(s=Sum("billed_s", default=0))["s"])


def _granted_s(grants: QuerySet[Reservation]) -> int:
    return int(grants.aggregate(s=Sum("granted_s", default=0))["s"])
