"""Background work: the interface of django-tasks, with a backend whose tasks survive a killed worker.

``task.enqueue(id)`` inside a transaction commits or vanishes with it. A task runs at least once: it carries ids, may be
repeated without harm, and is bounded in time. ``@task(priority=READING)`` and its like mark slow work: each kind has a
thread of its own in the worker, so that quick work such as mails never waits behind it.

A task with an argument ``organization_id`` stands in that organization's queue, and the organization that was served
for the fewest seconds of late is next: however much one of them has waiting, another waits for one task at most.
"""

from __future__ import annotations

import logging
import time
import traceback
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task, TaskResult, TaskResultStatus

from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import lacks_room
from cryocloud.web.core.models import BackgroundTask

LEASE = timedelta(minutes=2)  # renewed by the worker while it lives
TRIES = 5
FIRST_PAUSE_S = 5
NO_ROOM_PAUSE_S = 30
MAILING, CALLING, READING, DRAWING, MOVING, REMOVING = -2, -5, -10, -20, -30, -40
SERVED_HALF_LIFE_S = 600.0

# Seconds of work for each organization, halved every ten minutes, as (seconds, time of the sum); a restart forgets.
_served: dict[str, tuple[float, float]] = {}
# Rows whose end could not be written: their lease runs out, so that they are taken again.
_unsettled: set[str] = set()

_log = logging.getLogger("cryocloud.tasks")


class LeaseBackend(BaseTaskBackend):
    """Tasks as rows; the worker takes them one at a time under a lease."""

    supports_defer = True
    supports_priority = True

    def enqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any]:
        self.validate_task(task)
        row = BackgroundTask.objects.create(
            path=task.module_path,
            organization_id=kwargs.get("organization_id", ""),
            arguments={"args": list(args), "kwargs": dict(kwargs)},
            run_after=task.run_after or now(),
            priority=task.priority,
        )
        return TaskResult(
            task=task,
            id=row.id,
            status=TaskResultStatus.READY,
            enqueued_at=row.created_at,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )


def run_next(owner: str, only: Q | None = None) -> bool:
    """Run one task that is due, of those that ``only`` selects; False if there is none."""
    row = _take(owner, only or Q())
    if row is None:
        return False
    began_s = time.monotonic()
    failure: Exception | None = None
    try:
        import_string(row.path).func(*row.arguments["args"], **row.arguments["kwargs"])
    except Exception as error:
        _log.exception("task failed", extra={"task": row.path, "task_id": row.id, "tries": row.tries})
        failure = error
    _served[row.organization_id] = (
        _served_s(row.organization_id) + time.monotonic() - began_s,
        time.monotonic(),
    )
    try:
        _settle(row, failure)
    except DatabaseError:
        _unsettled.add(row.id)
        raise
    return True


def is_waiting(task: Task[Any, Any], *arguments: Any) -> bool:
    """Whether such a call waits already and has not begun, so that it will see all that is written by now."""
    call = {"args": list(arguments), "kwargs": {}}
    waiting = BackgroundTask.objects.filter(state=BackgroundTask.State.READY, path=task.module_path)
    return waiting.filter(arguments=call).exists()


def renew_leases(owner: str) -> None:
    """Keep what ``owner`` has in hand; a task may take longer than a lease as long as its worker lives."""
    running = BackgroundTask.objects.filter(lease_owner=owner, state=BackgroundTask.State.RUNNING)
    running.exclude(id__in=_unsettled).update(lease_expires_at=now() + LEASE)


def release_others(owner: str) -> None:
    """What other owners left in hand may be taken at once; for the only worker there is."""
    running = BackgroundTask.objects.filter(state=BackgroundTask.State.RUNNING)
    running.exclude(lease_owner=owner).update(lease_expires_at=now())


def _take(owner: str, only: Q) -> BackgroundTask | None:
    states = BackgroundTask.State
    due = Q(state=states.READY, run_after__lte=now()) | Q(state=states.RUNNING, lease_expires_at__lte=now())
    rows = BackgroundTask.objects.filter(due & only)
    # Several threads ask twice a second each; a look needs no lock.
    if not rows.exists():
        return None
    with transaction.atomic():
        row = _next_in_turn(rows)
        if row is None:
            return None
        _unsettled.discard(row.id)
        row.state, row.tries = states.RUNNING, row.tries + 1
        row.lease_owner, row.lease_expires_at = owner, now() + LEASE
        row.save()
        return row


def _next_in_turn(rows: QuerySet[BackgroundTask]) -> BackgroundTask | None:
    waiting = set(rows.values_list("organization_id", flat=True).distinct())
    if not waiting:
        return None
    own = rows.filter(organization_id=min(waiting, key=lambda one: (_served_s(one), one)))
    # Of several that ask at once, each gets another row.
    own = own.select_for_update(skip_locked=True)
    return own.order_by("-priority", "run_after", "created_at").first()


def _served_s(organization_id: str) -> float:
    seconds, summed_at_s = _served.get(organization_id, (0.0, 0.0))
    return float(seconds * 0.5 ** ((time.monotonic() - summed_at_s) / SERVED_HALF_LIFE_S))


def _own(row: BackgroundTask) -> Any:
    """The row, if nobody has taken it over since."""
    return BackgroundTask.objects.filter(id=row.id, lease_owner=row.lease_owner, tries=row.tries)


def _settle(row: BackgroundTask, failure: Exception | None) -> None:
    if failure is None:
        _own(row).update(state=BackgroundTask.State.DONE, finished_at=now(), lease_expires_at=None)
        return
    trace = "".join(traceback.format_exception(failure))[-4000:]
    if lacks_room(failure):
        # No fault of the task: it goes on when there is room again, however long that takes.
        tries, pause_s = row.tries - 1, NO_ROOM_PAUSE_S
    elif row.tries >= TRIES:
        _own(row).update(state=BackgroundTask.State.FAILED, error=trace, finished_at=now())
        return
    else:
        tries, pause_s = row.tries, FIRST_PAUSE_S * 4 ** (row.tries - 1)
    _own(row).update(
        state=BackgroundTask.State.READY,
        error=trace,
        tries=tries,
        run_after=now() + timedelta(seconds=pause_s),
        lease_expires_at=None,
    )
