"""What the platform checks of itself by night."""

from __future__ import annotations

from datetime import timedelta

from django_tasks import task

from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.periodic import every
from cryocloud.web.core.tasks import REMOVING
from cryocloud.web.operations.reconciliation import reconcile


@every(timedelta(hours=24))
def order_reconciliation() -> None:
    waiting = BackgroundTask.objects.filter(path=reconcile_storage.module_path)
    if not waiting.filter(state__in=(BackgroundTask.State.READY, BackgroundTask.State.RUNNING)).exists():
        reconcile_storage.enqueue()


@task(priority=REMOVING)
def reconcile_storage() -> None:
    """Among the slow tasks: it looks at every file."""
    reconcile()
