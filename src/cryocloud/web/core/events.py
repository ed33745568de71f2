"""Tell open pages that something has changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Max

from cryocloud.web.core.clock import now
from cryocloud.web.core.models import Event

KEPT = timedelta(hours=24)
PRUNED_AT_ONCE = 5000


def project_topic(project_id: str) -> str:
    return f"project:{project_id}"


def job_topic(job_id: str) -> str:
    return f"job:{job_id}"


def dataset_topic(dataset_id: str) -> str:
    return f"dataset:{dataset_id}"


def publish(organization_id: str, topics: list[str], kind: str, content: dict[str, Any]) -> None:
    """One event to each topic, seen by readers once the surrounding transaction has committed."""
    Event.objects.bulk_create(
        Event(organization_id=organization_id, topic=topic, kind=kind, content=content) for topic in topics
    )


def latest_event_id() -> int:
    """A page that opens its stream with ``?after=`` this number misses nothing since it was made."""
    return Event.objects.aggregate(latest=Max("id"))["latest"] or 0


def prune_events() -> int:
    """Forget events that no reader will come back for, a bounded number at once; how many went.

    The newest one stays, so that its id still tells late readers where they are.
    """
    oldest = Event.objects.order_by("id").values_list("id", "created_at")[:PRUNED_AT_ONCE]
    cutoff = now() - KEPT
    old = [event_id for event_id, created_at in oldest if created_at < cutoff]
    if not old:
        return 0
    return Event.objects.filter(id__lte=old[-1], id__lt=latest_event_id()).delete()[0]
