"""Whose job starts next: fewest running jobs, then least recent use, then priority, then who came first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet, Sum

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.organizations.models import Organization
from cryocloud.web.runs.models import Attempt, Job

HALF_LIFE = timedelta(days=1)
HALF_LIVES_REMEMBERED = 7


def free_slots() -> int:
    return configuration().slots - Attempt.unscoped.filter(state__in=Attempt.OPEN).count()


def job_to_start(passed_over: set[str]) -> Job | None:
    """The next job in fair order, none of ``passed_over`` organizations and of none that has all it may have."""
    first = next(order_of_start(passed_over), None)
    return None if first is None or has_all_slots(first.organization_id) else first


def has_all_slots(organization_id: str) -> bool:
    return _running({organization_id})[organization_id] >= slots_of({organization_id})[organization_id]


def order_of_start(passed_over: set[str]) -> Iterator[Job]:
    """Queued jobs as they start if none at work ends before; organizations that have all they may come last."""
    queued = Job.unscoped.filter(state=Job.State.QUEUED).exclude(organization_id__in=passed_over)
    waiting = set(queued.values_list("organization_id", flat=True).distinct())
    running, most, usage_s = _running(waiting), slots_of(waiting), _decayed_usage_s(waiting)
    lines = {one: _line(queued.filter(organization_id=one)) for one in waiting}
    heads = {one: next(line) for one, line in lines.items()}

    def rank(one: str) -> tuple[bool, int, float, int, datetime]:
        head = heads[one]
        return running[one] >= most[one], running[one], usage_s[one], -head.priority, head.created_at

    while heads:
        chosen = min(heads, key=rank)
        yield heads.pop(chosen)
        running[chosen] += 1
        following = next(lines[chosen], None)
        if following is not None:
            heads[chosen] = following


def _line(queued: QuerySet[Job]) -> Iterator[Job]:
    """The jobs of one organization, most of which nobody asks for."""
    ordered = queued.order_by("-priority", "created_at", "pk")
    first, size = 0, 1
    while rows := list(ordered[first : first + size]):
        yield from rows
        first, size = first + size, 100


def slots_of(organizations: set[str]) -> dict[str, int]:
    """How many attempts each may run at the same time."""
    by_hand = Organization.objects.filter(pk__in=organizations, slots_max__isnull=False)
    most = dict.fromkeys(organizations, configuration().slots_per_organization)
    return most | {one: slots for one, slots in by_hand.values_list("pk", "slots_max") if slots is not None}


def _running(organizations: set[str]) -> dict[str, int]:
    counted = (
        Attempt.unscoped.filter(state__in=Attempt.OPEN, organization_id__in=organizations)
        .values_list("organization_id")
        .annotate(n=Count("pk"))
    )
    return dict.fromkeys(organizations, 0) | dict(counted)


def _decayed_usage_s(organizations: set[str]) -> dict[str, float]:
    """Seconds used, each day back counting half of the next."""
    moment = now()
    sums = {
        f"day_{k}": Sum(
            "wall_s",
            filter=Q(finished_at__gt=moment - (k + 1) * HALF_LIFE, finished_at__lte=moment - k * HALF_LIFE),
        )
        for k in range(HALF_LIVES_REMEMBERED)
    }
    recent = UsageRecord.unscoped.filter(
        organization_id__in=organizations, finished_at__gt=moment - HALF_LIVES_REMEMBERED * HALF_LIFE
    )
    usage_s = dict.fromkeys(organizations, 0.0)
    for organization_id, *days in recent.values_list("organization_id").annotate(**sums):
        usage_s[organization_id] = sum((seconds or 0.0) * 0.5**k for k, seconds in enumerate(days))
    return usage_s
