"""The clock of subscriptions: each in a transaction of its own, and one that fails does not hold up the others."""

from __future__ import annotations

import logging
from datetime import timedelta

from cryocloud.web.core.clock import now
from cryocloud.web.core.periodic import every
from cryocloud.web.subscriptions.advance import advance
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.terms import billing

_log = logging.getLogger("cryocloud.subscriptions")


@every(timedelta(seconds=15))
def advance_what_is_due() -> None:
    """Months that end, transfers that have not come, plans that begin."""
    _advance(due_at__lte=now())


@every(timedelta(hours=1))
def advance_all() -> None:
    """What no moment tells of, such as an order whose payment page was left."""
    _advance(state__in=(Subscription.State.ORDERED, Subscription.State.RUNNING))


def _advance(**which: object) -> None:
    if billing() is None:
        return
    for subscription_id in list(Subscription.unscoped.filter(**which).values_list("pk", flat=True)):
        try:
            advance(subscription_id)
        except Exception:
            _log.exception("subscription not advanced", extra={"subscription": subscription_id})
