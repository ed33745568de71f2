"""What of notices is forgotten after a while."""

from __future__ import annotations

from datetime import timedelta

from cryocloud.web.core.clock import now
from cryocloud.web.core.periodic import every
from cryocloud.web.notices.models import Call, Occasion

CALLS_KEPT = timedelta(days=30)
OCCASIONS_KEPT = timedelta(days=180)


@every(timedelta(hours=12))
def forget_old_calls() -> None:
    Call.unscoped.filter(created_at__lt=now() - CALLS_KEPT).delete()


@every(timedelta(hours=24))
def forget_old_occasions() -> None:
    """With their notices, read or not."""
    Occasion.with_trash.filter(created_at__lt=now() - OCCASIONS_KEPT).delete()
