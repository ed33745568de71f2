"""What the clock brings about in a subscription, each thing under its own moment, whenever anybody comes to do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from cryocloud.web.core.clock import now
from cryocloud.web.metering.allowances import end_allowance
from cryocloud.web.organizations.states import CLOCK, State, move, settle
from cryocloud.web.payments.models import Charge
from cryocloud.web.subscriptions import letters
from cryocloud.web.subscriptions.charging import charge, credit_all, debts_of, lines_of_use
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.months import (
    coming_interval,
    coming_plan,
    give_months,
    is_last_of_period,
)
from cryocloud.web.subscriptions.pricing import credit_line, plan_line

ORDER_KEPT = timedelta(days=7)
"""How long an order waits for its first payment."""


@dataclass(frozen=True)
class Due:
    """Something that falls due by itself."""

    at: datetime
    act: Callable[[Subscription, datetime], None]


@transaction.atomic
def advance(subscription_id: str) -> Subscription:
    """Do everything that is due by now, in the order of the moments; done twice it has one effect. The row is held."""
    found = Subscription.unscoped.values_list("organization_id", flat=True).get(pk=subscription_id)
    organization = settle(found)
    held = Subscription.unscoped.select_for_update(no_key=True).get(pk=subscription_id)
    held.organization = organization
    moment = now()
    while (due := next_due(held)) is not None and due.at <= moment:
        due.act(held, due.at)
    _save(held, due)
    return held


def keep(held: Subscription) -> None:
    """Save what was changed, with the moment at which the clock has to come back."""
    _save(held, next_due(held))


def _save(held: Subscription, due: Due | None) -> None:
    held.due_at = due.at if due else None
    held.save()


def next_due(held: Subscription) -> Due | None:
    """The earliest; at the same moment a payment that is overdue counts before the month that it stops."""
    found = [find(held) for find in _FINDERS.get(Subscription.State(held.state), ())]
    return min((due for due in found if due), key=lambda due: due.at, default=None)


def change_state(held: Subscription, to: State, at: datetime, *, reason: str, actor_id: str = CLOCK) -> None:
    held.organization = move(held.organization_id, to, reason=reason, actor_id=actor_id, moment=at)


def begin_months(held: Subscription, at: datetime) -> None:
    """Months and price periods count anew from a moment."""
    held.anchor, held.month, held.period_month, held.lapsed_at = at, 0, 0, None


def apply_planned(held: Subscription) -> None:
    """The plan that was chosen for the next price period."""
    held.terms, held.interval = coming_plan(held).model_dump(), coming_interval(held)
    if held.next_quote is not None:
        held.quote, held.due_days = held.next_quote, held.next_quote.due_days
    forget_planned(held)


def forget_planned(held: Subscription) -> None:
    held.next_terms, held.next_interval, held.next_quote = None, "", None


def end_now(held: Subscription, at: datetime, *, reason: str, actor_id: str) -> None:
    """No further month; the time to fetch data begins."""
    end_allowance(held.organization_id, at)
    held.state, held.ended_at = Subscription.State.ENDED, at
    forget_planned(held)
    change_state(held, State.ENDED, at, reason=reason, actor_id=actor_id)
    change_state(
        held, State.RETRIEVAL, at, reason="Data can be fetched until they are closed.", actor_id=CLOCK
    )


def _boundary(held: Subscription) -> Due | None:
    if held.lapsed_at is None:
        return Due(held.running_month.until_at, _pass_boundary)
    wished = held.end_wished_at
    return Due(max(held.period.until_at, held.lapsed_at, wished), _end) if wished else None


def _pass_boundary(held: Subscription, at: datetime) -> None:
    lines = lines_of_use(held, held.running_month)
    is_price_due = is_last_of_period(held)
    if held.end_wished_at and is_price_due:
        charge(held, lines, at, "end")
        _end(held, at)
    elif held.organization.state == State.PAST_DUE:
        held.lapsed_at = at
        charge(held, lines, at, "month")
        letters.tell_lapsed(held)
    else:
        held.month += 1
        if is_price_due:
            letters.tell_planned_change(held)
            apply_planned(held)
            held.period_month = held.month
            lines.insert(0, plan_line(held.plan, held.interval, held.period))
        charge(held, lines, at, "month")
        give_months(held)


def _end(held: Subscription, at: datetime) -> None:
    end_now(held, at, reason="The subscription was deactivated.", actor_id=held.end_wished_by_id)
    letters.tell_ended(held)


def _overdue(held: Subscription) -> Due | None:
    """A transfer that was not there in time. One that came late, before the last change, has had its effect."""
    if held.organization.state != State.ACTIVE:
        return None
    since = held.organization.state_since
    moments = []
    for debt in debts_of(held):
        at = debt.overdue_at and max(debt.overdue_at, since)
        if at and debt.is_transfer and debt.is_late(at):
            moments.append(at)
    return Due(min(moments), fall_behind) if moments else None


def fall_behind(held: Subscription, at: datetime) -> None:
    """A payment is overdue: work goes on, but nothing beyond the plan, and no further month begins."""
    change_state(held, State.PAST_DUE, at, reason="A payment is overdue.")
    if held.lapsed_at is None:
        give_months(held)
    letters.tell_past_due(held)


def _paid_up(held: Subscription) -> Due | None:
    """The first moment, from that of falling behind, at which nothing was late."""
    if held.organization.state != State.PAST_DUE:
        return None
    debts, at = debts_of(held), held.organization.state_since
    while late := [debt for debt in debts if debt.is_late(at)]:
        settled = [debt.settled_at for debt in late if debt.settled_at is not None]
        if len(settled) < len(late):
            return None
        at = max(settled)
    return Due(at, _recover)


def _recover(held: Subscription, at: datetime) -> None:
    change_state(held, State.ACTIVE, at, reason="What was overdue is paid.")
    if held.lapsed_at is not None and held.end_wished_at:
        _resume(held, at)
    elif held.lapsed_at is not None:
        _begin_anew(held, held.lapsed_at, at)
    give_months(held)
    letters.tell_recovered(held)


def _begin_anew(held: Subscription, lapsed_at: datetime, at: datetime) -> None:
    """Months count from the payment on. Of a year that was paid, what lay still is a credit."""
    lines = []
    if lapsed_at < held.period.until_at:
        lines.append(credit_line(held.plan, held.interval, held.period, lapsed_at))
    apply_planned(held)
    begin_months(held, at)
    charge(held, [plan_line(held.plan, held.interval, held.period), *lines], at, "again")


def _resume(held: Subscription, at: datetime) -> None:
    """What is paid is used up to its end, and nothing follows."""
    held.lapsed_at = None
    while held.running_month.until_at <= at:
        held.month += 1


def _abandoned(held: Subscription) -> Due | None:
    """An order that nobody has paid, once no payment is under way any more."""
    under_way = Charge.unscoped.filter(
        payment__invoice__subscription_id=held.pk, state__in=(*Charge.UNDER_WAY, Charge.State.PAID)
    )
    return None if under_way.exists() else Due(held.created_at + ORDER_KEPT, _drop)


def _drop(held: Subscription, at: datetime) -> None:
    drop_order(held)
    letters.tell_dropped(held)


def drop_order(held: Subscription, reason: str = "The order was not paid.") -> None:
    """It was never paid: what was invoiced for it is taken back."""
    held.state = Subscription.State.DROPPED
    credit_all(held, reason)


_FINDERS = {
    Subscription.State.ORDERED: (_abandoned,),
    Subscription.State.RUNNING: (_overdue, _paid_up, _boundary),
}
