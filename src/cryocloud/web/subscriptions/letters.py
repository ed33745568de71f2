"""What owners are written of their subscription: each dated event once, under its own key."""

from __future__ import annotations

from datetime import datetime

from cryocloud.web.billing.money import spoken
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.subscriptions.calendar import Span
from cryocloud.web.subscriptions.models import Quote, RefundReview, Subscription
from cryocloud.web.terms import Plan

PLAN_PAGE = "/organization/plan/"


def when(moment: datetime) -> str:
    return f"{moment:%-d %B %Y, %H:%M:%S} UTC"


def tell_begun(held: Subscription) -> None:
    month = held.running_month
    _write(
        held,
        f"begun:{when(month.from_at)}",
        f"Plan {held.plan.name} has begun",
        f"Plan {held.plan.name}, paid {held.interval}, began on {when(month.from_at)}. Data, links and running jobs "
        f"are as they were. The first month ends on {when(month.until_at)}.",
    )


def tell_changed(held: Subscription, before: Plan, at: datetime) -> None:
    _write(
        held,
        f"changed:{when(at)}",
        f"Plan {held.plan.name} has begun",
        f"On {when(at)} plan {held.plan.name} took the place of plan {before.name}. What was paid of it and not used "
        "is on the invoice as a credit. Running jobs and uploads go on.",
    )


def tell_planned(held: Subscription, plan: Plan, interval: str) -> None:
    at = held.period.until_at
    over = (
        " Where more is stored than it holds, nothing is deleted: new uploads and jobs wait until there is room."
        if plan.storage_bytes < held.plan.storage_bytes
        else ""
    )
    _write(
        held,
        f"planned:{now().isoformat()}",
        f"Plan {plan.name} begins on {at:%-d %B %Y}",
        f"Plan {held.plan.name} stays as it is until {when(at)}. Then plan {plan.name}, paid {interval}, "
        "takes its place."
        f"{over} You can take this back until then.",
    )


def tell_planned_change(held: Subscription) -> None:
    """At the moment at which a planned change comes."""
    if held.next_terms is None and not held.next_interval:
        return
    plan, at = held.next_plan or held.plan, held.period.until_at
    _write(
        held,
        f"changed:{when(at)}",
        f"Plan {plan.name} has begun",
        f"As it was planned, plan {plan.name}, paid {held.next_interval or held.interval}, began on {when(at)}.",
    )


def tell_end_wished(held: Subscription, period: Span) -> None:
    assert held.end_wished_at is not None
    _write(
        held,
        f"end-wished:{when(held.end_wished_at)}",
        "Your plan is deactivated",
        f"On {when(held.end_wished_at)} we received that plan {held.plan.name} is to end. It goes on until "
        f"{when(period.until_at)}, which is paid; nothing is charged for the time after. From then on data can be "
        f"read, fetched and deleted for {configuration().retrieval_days} days. Until then you can take this back.",
    )


def tell_refunded(held: Subscription, paid_cents: int) -> None:
    assert held.ended_at is not None
    money = (
        f"All that was paid, {spoken(paid_cents)} with VAT, goes back the way it came; the credit notes follow."
        if paid_cents
        else "Nothing had been paid, and nothing is to be paid: the credit notes follow."
    )
    ended = "it ended at that moment" if held.end_wished_at is None else f"it ended on {when(held.ended_at)}"
    _write(
        held,
        "refunded",
        "Your plan is deactivated and refunded",
        f"On {when(held.end_wished_at or held.ended_at)} we received that plan {held.plan.name} is to end, and "
        f"{ended}. {money} {_retrieval(held)}",
    )


def tell_order_withdrawn(held: Subscription, declared_at: datetime) -> None:
    _write(
        held,
        "order-withdrawn",
        "Your order is withdrawn",
        f"On {when(declared_at)} we received that you withdraw from the order of plan {held.plan.name}. It is "
        "dropped; nothing is owed, and what is paid for it all the same goes back.",
    )


def tell_ended(held: Subscription) -> None:
    assert held.ended_at is not None
    _write(
        held,
        f"ended:{when(held.ended_at)}",
        f"Plan {held.plan.name} has ended",
        f"It ended on {when(held.ended_at)}. {_retrieval(held)}",
    )


def tell_past_due(held: Subscription) -> None:
    since = held.organization.state_since
    _write(
        held,
        f"past-due:{when(since)}",
        "A payment is overdue",
        f"Since {when(since)} a payment for plan {held.plan.name} is overdue. Everything works on within what the plan "
        "includes; nothing is computed beyond it, and no new month begins before it is paid. Nothing is closed by "
        "itself. On the page of your plan you see what failed and can pay now.",
    )


def tell_lapsed(held: Subscription) -> None:
    assert held.lapsed_at is not None
    _write(
        held,
        f"lapsed:{when(held.lapsed_at)}",
        "No new month has begun",
        f"The month of plan {held.plan.name} ended on {when(held.lapsed_at)}. Because a payment is overdue, nothing is "
        "included until it is paid: jobs wait, and data can be read and fetched. A new month begins with the payment.",
    )


def tell_recovered(held: Subscription) -> None:
    since = held.organization.state_since
    _write(
        held,
        f"recovered:{when(since)}",
        "Your payment has arrived",
        f"Thank you. Plan {held.plan.name} is fully in force again since {when(since)}; its month ends on "
        f"{when(held.running_month.until_at)}.",
    )


def tell_dropped(held: Subscription) -> None:
    _write(
        held,
        "dropped",
        "Your order was not paid",
        f"The order of plan {held.plan.name} of {when(held.created_at)} was not paid and has been dropped. Nothing is "
        "owed; you can choose a plan again at any time.",
    )


def tell_review_wished(review: RefundReview) -> None:
    held = review.subscription
    _write(
        held,
        "review-wished",
        "A person looks at your refund",
        f"On {when(review.created_at)} we received your wish for a refund. Your organization has had one before, so "
        "that a person decides; you get an answer by mail.",
    )


def tell_review_decided(review: RefundReview) -> None:
    words = "granted: the money goes back the way it came" if review.is_granted else "not granted"
    _write(
        review.subscription,
        "review-decided",
        f"Your refund is {'granted' if review.is_granted else 'not granted'}",
        f"The refund that you asked for on {when(review.created_at)} is {words}. Reason: {review.reason}",
    )


def tell_quote(quote: Quote) -> None:
    write_to_owners(
        quote.organization,
        key=f"quote:{quote.pk}",
        title=f"Quote {quote.number} for a plan of your own",
        message=f"We offer plan {quote.plan.name}, paid {quote.interval}. An owner can see all of it and accept it "
        f"until {when(quote.valid_until)}.",
        path=f"/organization/quotes/{quote.pk}/",
    )


def tell_quote_accepted(quote: Quote) -> None:
    assert quote.accepted_at is not None
    write_to_owners(
        quote.organization,
        key=f"quote-accepted:{quote.pk}",
        title=f"Quote {quote.number} is accepted",
        message=f"{quote.accepted_name} accepted quote {quote.number} on {when(quote.accepted_at)}. Its content has "
        f"the SHA-256 {quote.content_sha256}.",
        path=f"/organization/quotes/{quote.pk}/",
    )


def _retrieval(held: Subscription) -> str:
    until = held.organization.state_until
    assert until is not None
    return (
        f"Until {when(until)} everything can be read, fetched and deleted; then the organization is closed. Choose a "
        "plan before that, and all goes on with the data as they are."
    )


def _write(held: Subscription, key: str, title: str, message: str) -> None:
    write_to_owners(
        held.organization,
        key=f"{held.pk}:{key}",
        title=title,
        message=message,
        path=PLAN_PAGE,
    )
