"""Plans of their own: staff writes an offer to one organization, an owner accepts exactly what was shown."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Max, QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.customers import require_sellable
from cryocloud.web.billing.models import Customer
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.plain_text import checked_reason, clean_name
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.payments.models import ProviderName
from cryocloud.web.subscriptions import letters
from cryocloud.web.subscriptions.advance import advance
from cryocloud.web.subscriptions.changes import switch
from cryocloud.web.subscriptions.ending import require_staff
from cryocloud.web.subscriptions.models import Quote, Subscription
from cryocloud.web.subscriptions.orders import order, require_interval, require_owner, subscription_of
from cryocloud.web.terms import Plan

DUE_DAYS_MAX = 90


@dataclass(frozen=True)
class Offer:
    """What a quote says."""

    plan: Plan
    interval: str
    due_days: int
    po_number: str
    words: str
    valid_until: datetime


@transaction.atomic
def write_quote(*, actor: Actor, organization: Organization, offer: Offer) -> Quote:
    """By staff. The owners are told; a quote is never changed, only withdrawn and written anew."""
    require_staff(actor, "Writing a quote")
    require_interval(offer.plan, offer.interval)
    if offer.valid_until <= now():
        raise Refused("The quote has ended already.", {"valid_until": "Give a moment that is still to come."})
    if not 1 <= offer.due_days <= DUE_DAYS_MAX:
        raise Refused("These days cannot be used.", {"due_days": f"Give 1 to {DUE_DAYS_MAX} days."})
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    last = Quote.unscoped.aggregate(last=Max("sequence"))["last"] or 0
    quote = Quote(
        organization=organization,
        sequence=last + 1,
        terms=offer.plan.model_dump(),
        interval=offer.interval,
        due_days=offer.due_days,
        po_number=offer.po_number,
        words=offer.words,
        valid_until=offer.valid_until,
        written_by_id=actor.user.pk,
    )
    quote.content_sha256 = content_hash(quote)
    quote.save(force_insert=True)
    letters.tell_quote(quote)
    _record("quote.written", quote, actor, number=quote.number, plan=offer.plan.name)
    return quote


def content_hash(quote: Quote) -> str:
    """Of all that is offered, whatever the order of its parts."""
    content = {
        "number": quote.number,
        "organization": quote.organization_id,
        "terms": quote.terms,
        "interval": quote.interval,
        "due_days": quote.due_days,
        "po_number": quote.po_number,
        "words": quote.words,
        "valid_until": quote.valid_until.isoformat(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@transaction.atomic
def accept_quote(*, actor: Actor, quote: Quote, name: str, content_sha256: str) -> Subscription:
    """By an owner, who types their name. What they saw has the hash that they send."""
    require_owner(actor, quote.organization, "Accepting a quote")
    said = clean_name(name, field="name")
    require_sellable(quote.organization)
    held = Quote.unscoped.select_for_update(no_key=True).select_related("organization").get(pk=quote.pk)
    _require_open(held)
    if content_sha256 != held.content_sha256:
        raise Conflict("This is not what the quote says. Load its page again and read it once more.")
    held.accepted_at, held.accepted_by_id, held.accepted_name = now(), actor.user.pk, said
    held.save()
    if held.po_number:
        Customer.unscoped.filter(organization=held.organization).update(po_number=held.po_number)
    letters.tell_quote_accepted(held)
    _record("quote.accepted", held, actor, number=held.number, name=said, sha256=held.content_sha256)
    live = subscription_of(held.organization)
    running = advance(live.pk) if live and live.state == Subscription.State.RUNNING else None
    if running is not None and running.state == Subscription.State.RUNNING:
        return switch(running, held.plan, held.interval, actor, quote=held)
    return order(actor, held.organization, held.plan, held.interval, ProviderName.MANUAL, quote=held)


@transaction.atomic
def withdraw_quote(*, actor: Actor, quote: Quote, reason: str) -> Quote:
    """By staff, while it is open."""
    require_staff(actor, "Withdrawing a quote")
    held = Quote.unscoped.select_for_update(no_key=True).get(pk=quote.pk)
    _require_open(held)
    held.withdrawn_at, held.withdrawn_reason = now(), checked_reason(reason)
    held.save()
    _record("quote.withdrawn", held, actor, number=held.number, reason=held.withdrawn_reason)
    return held


def quotes_of(actor: Actor, organization: Organization) -> QuerySet[Quote]:
    """Newest first, for those who govern the organization."""
    access.require_governor(actor, organization.pk, Role.ADMIN)
    return access.within(actor, Quote, organization).order_by("-created_at")


def standing_of(quote: Quote) -> str:
    if quote.accepted_at:
        return "accepted"
    if quote.withdrawn_at:
        return "withdrawn"
    return "open" if now() < quote.valid_until else "expired"


def _require_open(quote: Quote) -> None:
    match standing_of(quote):
        case "accepted":
            raise Conflict(
                f"{quote.accepted_name} accepted this quote on {letters.when(quote.accepted_at or now())}."
            )
        case "withdrawn":
            raise Conflict("This quote was withdrawn. Ask for a new one.")
        case "expired":
            raise Conflict(f"This quote ended on {letters.when(quote.valid_until)}. Ask for a new one.")


def _record(verb: str, quote: Quote, actor: Actor, **detail: object) -> None:
    record_event(
        verb,
        organization_id=quote.organization_id,
        target=quote,
        actor_id=actor.user.pk,
        via=actor.via,
        **detail,
    )
