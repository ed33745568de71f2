from __future__ import annotations

from typing import Any

from cryocloud.web.audit.models import AuditEvent


def record_event(
    verb: str, *, organization_id: str, target: Any, actor_id: str = "", via: str = "platform", **detail: Any
) -> None:
    """Write one event in the transaction of what it reports."""
    AuditEvent.objects.create(
        organization_id=organization_id,
        actor_id=actor_id,
        via=via,
        verb=verb,
        object_type=type(target).__name__,
        object_id=str(target.pk),
        detail=detail,
    )
