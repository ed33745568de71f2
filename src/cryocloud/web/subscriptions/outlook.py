"""What a subscription will do by itself: the dates that come, and the next invoice as far as it can be foreseen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryocloud.web.billing.invoicing import DraftLine
from cryocloud.web.billing.money import spoken
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State, lasts, standing
from cryocloud.web.subscriptions.advance import ORDER_KEPT
from cryocloud.web.subscriptions.calendar import MONTHS, Span
from cryocloud.web.subscriptions.charging import lines_of_use
from cryocloud.web.subscriptions.ending import refund_until
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.months import coming_interval, coming_plan, is_last_of_period
from cryocloud.web.subscriptions.pricing import plan_line


@dataclass(frozen=True)
class Coming:
    """Something that happens at a moment unless somebody does something."""

    at: datetime
    words: str


@dataclass(frozen=True)
class NextInvoice:
    """As it would be if nothing more were used."""

    at: datetime
    lines: tuple[DraftLine, ...]

    @property
    def net_cents(self) -> int:
        return sum(line.net_cents for line in self.lines)


def what_comes(organization: Organization, held: Subscription | None) -> list[Coming]:
    """In the order of the moments."""
    found = [*_of_state(organization), *(_of_subscription(held) if held else ())]
    moment = now()
    return sorted((one for one in found if one.at > moment), key=lambda one: one.at)


def next_invoice(held: Subscription) -> NextInvoice | None:
    """None where no further one is foreseen."""
    if held.state != Subscription.State.RUNNING or held.lapsed_at is not None:
        return None
    month = held.running_month
    lines = lines_of_use(held, month)
    if is_last_of_period(held) and not held.end_wished_at and held.organization.state != State.PAST_DUE:
        lines.insert(0, _next_price(held))
    if lines:
        return NextInvoice(month.until_at, tuple(lines))
    return None if held.end_wished_at else NextInvoice(held.period.until_at, (_next_price(held),))


def _next_price(held: Subscription) -> DraftLine:
    """Of the price period after the running one."""
    interval, first = coming_interval(held), held.period_month + MONTHS[held.interval]
    period = Span(held.moment_of(first), held.moment_of(first + MONTHS[interval]))
    return plan_line(coming_plan(held), interval, period)


def _of_state(organization: Organization) -> list[Coming]:
    found = standing(organization)
    if found.until is None:
        return []
    if found.state == State.TRIAL:
        span = lasts(State.TRIAL_ENDED)
        assert span is not None
        return [
            Coming(
                found.until,
                "The trial ends. Everything can still be read, fetched and deleted; nothing is added.",
            ),
            Coming(found.until + span, "The organization is closed, unless a plan was chosen."),
        ]
    return [Coming(found.until, "The organization is closed, unless a plan is chosen before.")]


def _of_subscription(held: Subscription) -> list[Coming]:
    if held.state == Subscription.State.ORDERED:
        return [Coming(held.created_at + ORDER_KEPT, "The order is dropped, unless it is paid.")]
    if held.state != Subscription.State.RUNNING:
        return []
    found = [] if held.lapsed_at else [Coming(held.running_month.until_at, _at_the_boundary(held))]
    refund = refund_until(held)
    if refund is not None:
        found.append(Coming(refund, "Until then, deactivation gives back everything that was paid."))
    if held.end_wished_at:
        days = configuration().retrieval_days
        words = (
            f"Plan {held.plan.name} ends. Data can be read, fetched and deleted for {days} days, then closed."
        )
        found.append(Coming(held.period.until_at, words))
    elif held.next_interval:
        coming = f"Plan {coming_plan(held).name}, paid {coming_interval(held)},"
        words = f"{coming} takes the place of plan {held.plan.name}."
        found.append(Coming(held.period.until_at, words))
    return found


def _at_the_boundary(held: Subscription) -> str:
    """What the end of the running month brings."""
    if held.organization.state == State.PAST_DUE:
        return "The month ends. Nothing is included from then on until what is overdue is paid."
    if is_last_of_period(held) and held.end_wished_at:
        return "The last month ends. What was used beyond the plan is invoiced."
    plan = coming_plan(held) if is_last_of_period(held) else held.plan
    included = f"A new month begins with {plan.compute_hours:,} hours of compute."
    invoice = next_invoice(held)
    if invoice is None or invoice.at != held.running_month.until_at:
        return included
    return f"{included} As far as can be foreseen, {spoken(invoice.net_cents)} without VAT are invoiced."
