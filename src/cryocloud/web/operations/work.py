"""What runs and what waits, for whom and how long; and the background tasks that do not get on.

Ids, kinds and times only: names of projects, datasets and files are the tenants' own.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import Q, QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.audit.services import record_event
from cryocloud.web.core import disk_room
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict
from cryocloud.web.core.models import BackgroundTask, Lease
from cryocloud.web.metering.services import remaining_compute_s
from cryocloud.web.organizations.models import Organization
from cryocloud.web.runs.forecasts import machine_memory_bytes
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import is_dispatch_paused, pause_dispatch, resume_dispatch
from cryocloud.web.scheduling.fairness import slots_of

MEMORY_FILE = Path("/proc/meminfo")
_OF_TENANTS = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”|(?<!\w)/[^\s:,;)]+")


@dataclass(frozen=True)
class Waiting:
    """A job in the queue, who ordered it, and why it does not run."""

    job: Job
    person: User | None
    reason: str


@dataclass(frozen=True)
class Working:
    """An attempt at work and who ordered it."""

    attempt: Attempt
    person: User | None


@dataclass(frozen=True)
class Trouble:
    """A background task that failed, or is tried again; ``error`` holds no names of files."""

    task: BackgroundTask
    organization: Organization | None
    error: str

    @property
    def is_given_up(self) -> bool:
        return self.task.state == BackgroundTask.State.FAILED


@dataclass(frozen=True)
class Memory:
    all_bytes: int
    free_bytes: int


def at_work() -> list[Working]:
    """As many as there are slots."""
    rows = Attempt.unscoped.filter(state__in=Attempt.OPEN).select_related("job", "organization")
    found = list(rows.order_by("created_at", "pk"))
    people = User.objects.in_bulk([one.job.created_by_id for one in found])
    return [Working(one, people.get(one.job.created_by_id)) for one in found]


def queued() -> QuerySet[Job]:
    rows = Job.unscoped.filter(state=Job.State.QUEUED).select_related("organization")
    return rows.order_by("created_at", "pk")


def explained(jobs: list[Job]) -> list[Waiting]:
    """The reasons are those by which the scheduler decides."""
    people = User.objects.in_bulk([one.created_by_id for one in jobs])
    open_attempts = Attempt.unscoped.filter(state__in=Attempt.OPEN)
    running = Counter(open_attempts.values_list("organization_id", flat=True))
    whole = _reason_for_all()
    reasons = {
        one.pk: whole or _reason_of(one, running[one.pk]) for one in {job.organization for job in jobs}
    }
    return [Waiting(job, people.get(job.created_by_id), reasons[job.organization_id]) for job in jobs]


def _reason_for_all() -> str:
    if is_dispatch_paused():
        return "paused by an operator"
    return "the disk is full" if disk_room.is_low() else ""


def _reason_of(organization: Organization, running: int) -> str:
    if remaining_compute_s(organization) == 0:
        return "no compute is left to its organization"
    most = slots_of({organization.pk})[organization.pk]
    if running >= most:
        return f"its organization has {running} of {most} slots"
    return "waits for a slot"


def memory() -> Memory:
    """Of the machine, as the kernel counts it."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB$", MEMORY_FILE.read_text(encoding="ascii"), re.MULTILINE))
    return Memory(machine_memory_bytes(), 1024 * int(fields["MemAvailable"]))


def set_pause(*, actor: Actor, paused: bool) -> None:
    """Whether further jobs start; those at work go on."""
    require_operator(actor)
    with transaction.atomic():
        if paused == is_dispatch_paused():
            return
        if paused:
            pause_dispatch()
        else:
            resume_dispatch()
        record_event(
            "platform.paused" if paused else "platform.resumed",
            organization_id="",
            target=actor.user,
            actor_id=actor.user.pk,
            via=actor.via,
        )


def troubled() -> QuerySet[BackgroundTask]:
    """Given up after all tries, failed before and waiting for another, or in nobody's hands any more."""
    states = BackgroundTask.State
    left = Q(state=states.RUNNING, lease_expires_at__lt=now())
    again = Q(state__in=(states.READY, states.RUNNING)) & ~Q(error="")
    return BackgroundTask.objects.filter(Q(state=states.FAILED) | left | again).order_by("-created_at", "pk")


def told(tasks: list[BackgroundTask]) -> list[Trouble]:
    organizations = Organization.objects.in_bulk([one.organization_id for one in tasks])
    return [Trouble(one, organizations.get(one.organization_id), _last_words(one.error)) for one in tasks]


def _last_words(error: str) -> str:
    """The last line of a traceback, with an ellipsis for what may be a name or a path."""
    lines = error.strip().splitlines()
    return _OF_TENANTS.sub("…", lines[-1])[:300] if lines else "left by a worker that ended"


def try_again(*, actor: Actor, task_id: str) -> None:
    """A task that was given up begins with its first try again."""
    require_operator(actor)
    states = BackgroundTask.State
    with transaction.atomic():
        task = (
            BackgroundTask.objects.select_for_update(no_key=True)
            .filter(pk=task_id, state=states.FAILED)
            .first()
        )
        if task is None:
            raise Conflict("This task is not given up: it has ended, or is tried again by itself.")
        task.state, task.tries, task.run_after, task.finished_at = states.READY, 0, now(), None
        task.save(update_fields=["state", "tries", "run_after", "finished_at"])
        record_event(
            "task.tried_again",
            organization_id=task.organization_id,
            target=task,
            actor_id=actor.user.pk,
            via=actor.via,
        )


def appointments() -> list[tuple[str, datetime]]:
    """What the clock of the worker does, and when next."""
    rows = Lease.objects.filter(name__startswith="every:").order_by("expires_at")
    return [(one.name.removeprefix("every:"), one.expires_at) for one in rows]
