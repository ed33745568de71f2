"""Closing a quarter: its figures are kept as they were when they were handed in."""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.models import ClosedPeriod
from cryocloud.web.billing.periods import Quarter, figures_of
from cryocloud.web.core.days import today
from cryocloud.web.core.errors import Conflict


@transaction.atomic
def close_quarter(*, actor: Actor, quarter: Quarter) -> ClosedPeriod:
    """Once, when it is over and all its figures agree with the ledger. Later corrections fall into later quarters."""
    require_operator(actor)
    first, last = quarter.days
    known = ClosedPeriod.objects.filter(first_on=first).first()
    if known is not None:
        return known
    if today() <= last:
        raise Conflict(f"{quarter.name} ends on {last:%-d %B %Y}; close it after that day.")
    figures = figures_of(quarter)
    if not figures.agree:
        raise Conflict(f"{quarter.name} cannot be closed: its figures do not agree with the ledger.")
    closed = ClosedPeriod.objects.create(
        first_on=first, last_on=last, closed_by_id=actor.user.pk, figures=figures.kept()
    )
    record_event(
        "books.quarter_closed",
        organization_id="",
        target=closed,
        actor_id=actor.user.pk,
        via=actor.via,
        quarter=quarter.name,
    )
    return closed
