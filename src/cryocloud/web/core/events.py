"""Tell open pages that something has changed."""

from __future__ import annotations

from typing import Any

from cryocloud.web.core.models import Event


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
