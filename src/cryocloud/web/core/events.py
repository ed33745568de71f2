"""Tell open pages that something has changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Max, QuerySet
from django.db.models.expressions import RawSQL

from cryocloud.web.core.clock import now
from cryocloud.web.core.models import Event

KEPT = timedelta(hours=24)
PRUNED_AT_ONCE = 5000
# By age, since the numbers of transactions begin again after 4 billion.
_SETTLED = "age(core_event.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)"


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


def events_in_order() -> QuerySet[Event]:
    """Events before which no other can appear any more, so that a reader may go on after the last of them.

    Writers of SQLite wait in line. In PostgreSQL ids grow as events are made, and transactions that are at work may
    still commit earlier ones: what was written after the oldest of these began is not told yet.
    """
    if connection.vendor != "postgresql":
        return Event.objects.all()
    return Event.objects.filter(RawSQL(_SETTLED, (), BooleanField()))


def latest_event_id() -> int:
    """A page that opens its stream with ``?after=`` this number misses nothing since it was made."""
    return events_in_order().aggregate(latest=Max("id"))["latest"] or 0


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
