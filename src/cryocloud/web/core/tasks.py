"""Background work: the interface of django-tasks, with a backend whose tasks survive a killed worker.

``task.enqueue(id)`` inside a transaction commits or vanishes with it. A task runs at least once: it carries ids, may be
repeated without harm, and is bounded in time. ``@task(priority=-10)`` marks slow work (reading files, previews): it has
a thread of its own in the worker, so that quick work such as mails never waits behind it.
"""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.module_loading import import_string
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task, TaskResult, TaskResultStatus

from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask

LEASE = timedelta(minutes=2)  # renewed by the worker while it lives
TRIES = 5
FIRST_PAUSE_S = 5

_log = logging.getLogger("cryocloud.tasks")


class LeaseBackend(BaseTaskBackend):
    """Tasks as rows; the worker takes them one at a time under a lease."""

    supports_defer = True
    supports_priority = True

    def enqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any]:
        self.validate_task(task)
        row = BackgroundTask.objects.create(
            path=task.module_path,
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
    try:
        import_string(row.path).func(*row.arguments["args"], **row.arguments["kwargs"])
    except Exception as error:
        _log.exception("task failed", extra={"task": row.path, "task_id": row.id, "tries": row.tries})
        _record_failure(row, error)
    else:
        _own(row).update(state=BackgroundTask.State.DONE, finished_at=now(), lease_expires_at=None)
    return True


def renew_leases(owner: str) -> None:
    """Keep what ``owner`` has in hand; a task may take longer than a lease as long as its worker lives."""
    BackgroundTask.objects.filter(lease_owner=owner, state=BackgroundTask.State.RUNNING).update(
        lease_expires_at=now() + LEASE
    )


def release_others(owner: str) -> None:
    """What other owners left in hand may be taken at once; for the only worker there is."""
    running = BackgroundTask.objects.filter(state=BackgroundTask.State.RUNNING)
    running.exclude(lease_owner=owner).update(lease_expires_at=now())


def _take(owner: str, only: Q) -> BackgroundTask | None:
    states = BackgroundTask.State
    due = Q(state=states.READY, run_after__lte=now()) | Q(state=states.RUNNING, lease_expires_at__lte=now())
    with transaction.atomic():
        row = (
            BackgroundTask.objects.select_for_update()
            .filter(due & only)
            .order_by("-priority", "run_after", "created_at")
            .first()
        )
        if row is None:
            return None
        row.state, row.tries = states.RUNNING, row.tries + 1
        row.lease_owner, row.lease_expires_at = owner, now() + LEASE
        row.save()
        return row


def _own(row: BackgroundTask) -> Any:
    """The row, if nobody has taken it over since."""
    return BackgroundTask.objects.filter(id=row.id, lease_owner=row.lease_owner, tries=row.tries)


def _record_failure(row: BackgroundTask, error: Exception) -> None:
    trace = "".join(traceback.format_exception(error))[-4000:]
    if row.tries >= TRIES:
        _own(row).update(state=BackgroundTask.State.FAILED, error=trace, finished_at=now())
        return
    pause = timedelta(seconds=FIRST_PAUSE_S * 4 ** (row.tries - 1))
    _own(row).update(
        state=BackgroundTask.State.READY, error=trace, run_after=now() + pause, lease_expires_at=None
    )
