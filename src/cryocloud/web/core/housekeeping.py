"""What the platform forgets of its own accord: events that open pages have seen, finished tasks, old sessions."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

from django.conf import settings

from cryocloud.web.core.clock import now
from cryocloud.web.core.events import prune_events
from cryocloud.web.core.models import BackgroundTask, Count, Lease
from cryocloud.web.core.periodic import every

TASKS_KEPT = timedelta(days=7)


@every(timedelta(minutes=15))
def forget_events() -> None:
    while prune_events():
        pass


@every(timedelta(hours=1))
def forget_counts() -> None:
    Count.objects.filter(ends_at__lt=now()).delete()


@every(timedelta(hours=6))
def forget_tasks() -> None:
    BackgroundTask.objects.filter(
        state=BackgroundTask.State.DONE, finished_at__lt=now() - TASKS_KEPT
    ).delete()


@every(timedelta(hours=24))
def forget_sessions() -> None:
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()


@every(timedelta(hours=24))
def forget_leases() -> None:
    Lease.objects.filter(expires_at__lt=now() - 30 * TASKS_KEPT).delete()
