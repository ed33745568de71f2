"""Deactivation: at once with everything given back, or at the end of what is paid; and ends that a person decides."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from django.db import transaction

from cryocloud.web.accounts import staff
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.models import Customer
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.days import ZONE, day_of
from cryocloud.web.core.errors import Conflict
from cryocloud.web.core.plain_text import REASON_LENGTH, checked_reason
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State
from cryocloud.web.payments.models import Payment
from cryocloud.web.subscriptions import letters
from cryocloud.web.subscriptions.advance import advance, drop_order, end_now, forget_planned, keep
from cryocloud.web.subscriptions.calendar import Span
from cryocloud.web.subscriptions.charging import (
    charge,
    credit_all,
    first_paid_at,
    give_back_all,
    lines_of_use,
)
from cryocloud.web.subscriptions.models import RefundReview, Subscription
from cryocloud.web.subscriptions.months import give_months
from cryocloud.web.subscriptions.orders import hold_running, record, require_owner, terms

WITHDRAWAL = timedelta(days=14)
"""In which a consumer may by law withdraw from a contract made at a distance."""
OVERDUE_BEFORE_END = timedelta(days=60)


def refund_until(held: Subscription) -> datetime | None:
    """Until when deactivation gives everything back; None: as long as nothing has been paid."""
    first = first_paid_at(held)
    return None if first is None else first + timedelta(days=configuration().refund_days)


def is_refundable(held: Subscription, moment: datetime) -> bool:
    """By the rules alone; an organization that has had its refund asks a person."""
    until = refund_until(held)
    return (until is None or moment < until) and not had_refund(held)


def had_refund(held: Subscription) -> bool:
    return Subscription.unscoped.filter(organization=held.organization, refunded_at__isnull=False).exists()


def may_withdraw(held: Subscription, moment: datetime) -> bool:
    """Whether the law gives a consumer the right to go back on the contract, whatever was before."""
    customer = Customer.unscoped.filter(organization=held.organization).first()
    is_consumer = customer is not None and customer.kind == Customer.Kind.CONSUMER
    return is_consumer and moment < withdrawn_until(held)


def withdrawn_until(held: Subscription) -> datetime:
    """The last of the days ends at midnight (Regulation 1182/71, art. 3); that of the order is not counted."""
    first_after = day_of(held.created_at) + WITHDRAWAL + timedelta(days=1)
    return datetime.combine(first_after, time(), ZONE).astimezone(UTC)


@transaction.atomic
def deactivate(*, actor: Actor, organization: Organization, words: str = "") -> Subscription:
    """As the page says what follows: no second factor stands in the way, and a mail with the time goes out at once."""
    require_owner(actor, organization)
    held = hold_running(organization)
    if held.end_wished_at:
        raise Conflict(f"The plan is deactivated already; it ends on {letters.when(held.period.until_at)}.")
    moment = now()
    if is_refundable(held, moment):
        _end_and_refund(held, moment, actor_id=actor.user.pk)
        record("subscription.refunded", held, actor)
    else:
        _end_with_the_period(held, moment, actor)
        if wishes_review(held, moment):
            _ask_for_review(held, actor, words)
    keep(held)
    return held if held.state == Subscription.State.ENDED else advance(held.pk)


def wishes_review(held: Subscription, moment: datetime) -> bool:
    """Within the time of a refund, by an organization that has had one: a person decides."""
    until = refund_until(held)
    return until is None or moment < until or may_withdraw(held, moment)


def withdraw(held: Subscription, declared_at: datetime, *, actor_id: str) -> None:
    """A consumer's withdrawal that arrived at an earlier moment, of a contract that is held; everything comes back."""
    moment = now()
    if held.state == Subscription.State.ORDERED:
        drop_order(held, "A consumer withdrew from the order.")
        letters.tell_order_withdrawn(held, declared_at)
    elif held.state == Subscription.State.RUNNING:
        held.end_wished_at = declared_at
        _end_and_refund(held, moment, actor_id=actor_id)
    elif held.state == Subscription.State.ENDED and held.refunded_at is None:
        _refund(held, moment, "A consumer withdrew from the contract.")
    keep(held)


def _end_and_refund(held: Subscription, moment: datetime, *, actor_id: str) -> None:
    paid_cents = sum(
        Payment.unscoped.filter(invoice__subscription_id=held.pk).values_list("received_cents", flat=True)
    )
    end_now(held, moment, reason="The plan was deactivated and refunded.", actor_id=actor_id)
    _refund(held, moment, "The plan was deactivated within the time of a full refund.")
    letters.tell_refunded(held, paid_cents)


def _refund(held: Subscription, moment: datetime, reason: str) -> None:
    held.refunded_at = moment
    credit_all(held, reason)
    give_back_all(held)


def _end_with_the_period(held: Subscription, moment: datetime, actor: Actor) -> None:
    held.end_wished_at, held.end_wished_by_id = moment, actor.user.pk
    forget_planned(held)
    letters.tell_end_wished(held, held.period)
    if held.lapsed_at is None:
        give_months(held)
    record("subscription.end_wished", held, actor)


def _ask_for_review(held: Subscription, actor: Actor, words: str) -> None:
    review, is_new = RefundReview.unscoped.get_or_create(
        subscription=held,
        defaults={
            "organization": held.organization,
            "wished_by_id": actor.user.pk,
            "words": " ".join(words.split())[:REASON_LENGTH],
            "is_withdrawal": may_withdraw(held, now()),
        },
    )
    if is_new:
        letters.tell_review_wished(review)


@transaction.atomic
def decide_review(*, actor: Actor, review: RefundReview, grant: bool, reason: str) -> RefundReview:
    """By staff: everything back at once, or nothing. What the law grants is granted."""
    require_staff(actor, "Deciding about a refund")
    held = advance(review.subscription_id)
    found = RefundReview.unscoped.select_for_update(no_key=True).get(pk=review.pk)
    if found.decided_at is not None:
        raise Conflict("This wish has been decided already.")
    if found.is_withdrawal and not grant:
        raise Conflict(
            "A consumer has withdrawn within 14 days of the order; the law leaves no choice but to grant it."
        )
    found.reason = checked_reason(reason)
    moment = now()
    found.decided_at, found.decided_by_id, found.is_granted = moment, actor.user.pk, grant
    found.save()
    if grant and held.state == Subscription.State.RUNNING:
        _end_and_refund(held, moment, actor_id=actor.user.pk)
    elif grant:
        _refund(held, moment, "The refund was granted.")
    keep(held)
    found.subscription = held
    letters.tell_review_decided(found)
    record("subscription.review_decided", held, actor, granted=grant, reason=found.reason)
    return found


@transaction.atomic
def end_overdue(*, actor: Actor, subscription: Subscription, reason: str) -> Subscription:
    """By staff, with a reason, after 60 days in which nothing was paid: nobody is closed by the clock alone."""
    require_staff(actor, "Ending a subscription")
    held = advance(subscription.pk)
    said = checked_reason(reason)
    if held.state != Subscription.State.RUNNING or held.organization.state != State.PAST_DUE:
        raise Conflict("No payment is overdue here.")
    moment, earliest = now(), held.organization.state_since + OVERDUE_BEFORE_END
    if moment < earliest:
        raise Conflict(
            f"This is possible from {letters.when(earliest)} on, 60 days after the payment fell overdue."
        )
    if held.lapsed_at is None:
        lines = lines_of_use(held, Span(held.running_month.from_at, moment))
        charge(held, lines, moment, "end")
    end_now(held, moment, reason=said, actor_id=actor.user.pk)
    letters.tell_ended(held)
    record("subscription.ended_by_staff", held, actor, reason=said)
    keep(held)
    return held


def require_staff(actor: Actor, purpose: str) -> None:
    terms()
    staff.require_staff(actor, purpose)
