"""What a job that waits is told: its place in the fair order, why it waits, and roughly for how long."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from itertools import islice

from cryocloud.web.configuration import configuration
from cryocloud.web.core import disk_room
from cryocloud.web.metering.services import can_start, why_no_compute
from cryocloud.web.organizations.models import Organization
from cryocloud.web.runs.forecasts import stored_range
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import is_dispatch_paused
from cryocloud.web.scheduling.fairness import free_slots, has_all_slots, order_of_start, slots_of

PLACES_COUNTED = 500
PLACES_FORECAST = 20
# From less than this, the rest of a job is not foretold.
PROGRESS_MIN = 0.05
RAN_MIN_S = 30.0
UNKNOWN = math.inf


@dataclass(frozen=True)
class Waiting:
    """``place`` 1 is the next to start; 0 where it cannot start, or beyond those that are counted."""

    reason: str
    place: int = 0
    starts_in_s: float | None = None


def waiting_of(job: Job) -> Waiting | None:
    """None unless the job is queued."""
    if job.state != Job.State.QUEUED:
        return None
    reason = _obstacle(job)
    if reason:
        return Waiting(reason)
    before = _jobs_before(job)
    place = 0 if before is None else len(before) + 1
    if has_all_slots(job.organization_id):
        most = slots_of({job.organization_id})[job.organization_id]
        if not most:
            return Waiting("The operator lets no job of your organization start")
        return Waiting(f"Your organization has {most} at work, as many jobs as it may have at a time", place)
    if free_slots() >= place > 0:
        return Waiting("It starts in a moment", place)
    starts_in_s = UNKNOWN if before is None else _start_s(before)
    return Waiting(_no_slot(), place, starts_in_s if math.isfinite(starts_in_s) else None)


def _obstacle(job: Job) -> str:
    """What keeps it from starting whatever its place is."""
    if is_dispatch_paused():
        return "The operator lets no job start at the moment"
    if disk_room.is_low():
        return "The disk of the server is full; it starts by itself when there is room"
    return why_no_compute(job.organization)


def _no_slot() -> str:
    slots = configuration().slots
    return f"Waiting for a free slot, {f'all {slots} are' if slots > 1 else 'the only one is'} taken"


def _jobs_before(job: Job) -> list[Job] | None:
    """Those that start earlier, by the same rule as the scheduler's; None if there are very many."""
    waiting = Organization.objects.filter(
        pk__in=Job.unscoped.filter(state=Job.State.QUEUED).values("organization_id")
    )
    cannot_start = {one.pk for one in waiting if not can_start(one)}
    before: list[Job] = []
    for other in islice(order_of_start(cannot_start), PLACES_COUNTED):
        if other.pk == job.pk:
            return before
        before.append(other)
    return None


def _start_s(before: list[Job]) -> float:
    """Seconds until a slot is free for the one behind these; a job of which nothing is known never ends."""
    if len(before) >= PLACES_FORECAST:
        return UNKNOWN
    at_work = Attempt.unscoped.filter(state__in=Attempt.OPEN).select_related("job")
    free_at_s = [_rest_s(attempt) for attempt in at_work] + [0.0] * max(0, free_slots())
    heapq.heapify(free_at_s)
    for job in before:
        heapq.heapreplace(free_at_s, free_at_s[0] + _forecast_s(job))
    return free_at_s[0] if free_at_s else UNKNOWN


def _rest_s(attempt: Attempt) -> float:
    """From the pace so far; at the beginning, and after a checkpoint was taken over, from the forecast."""
    done = attempt.job.progress
    if attempt.number == 1 and done >= PROGRESS_MIN and attempt.wall_s >= RAN_MIN_S:
        return attempt.wall_s * (1 - done) / done
    forecast_s = _forecast_s(attempt.job)
    rest_s = forecast_s - attempt.wall_s if attempt.number == 1 else forecast_s * (1 - done)
    return rest_s if rest_s > 0 else UNKNOWN


def _forecast_s(job: Job) -> float:
    expected = stored_range(job.forecast, "wall_s")
    return UNKNOWN if expected is None else expected.likely
