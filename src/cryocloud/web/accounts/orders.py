"""How much one person may order: each order leaves rows, and those of the audit log are kept for ever.

By person and not by organization: nobody uses up what an owner needs to remove them.
"""

from __future__ import annotations

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.configuration import configuration
from cryocloud.web.core.rate_limits import spend

ORDERS_AN_HOUR = 5000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def count_order(actor: Actor) -> None:
    """One change by a page or the API."""
    spend("order", actor.user.pk, amount=ORDERS_AN_HOUR, window_s=3600)


def count_given_up(actor: Actor) -> None:
    """One announced file that will not come. Those that come are counted by the plan, and so are these: each day."""
    spend("file given up", actor.user.pk, amount=configuration().trial_files, window_s=24 * 3600)
