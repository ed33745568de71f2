"""Changing a plan that runs: to a higher one at once, to others when the price is due next."""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.money import spoken
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.metering.models import Allowance
from cryocloud.web.metering.reports import usage_of
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State
from cryocloud.web.payments.method_changes import begin_method_change
from cryocloud.web.payments.models import MethodChange, ProviderName
from cryocloud.web.payments.services import method_of
from cryocloud.web.subscriptions import letters
from cryocloud.web.subscriptions.advance import begin_months, forget_planned, keep
from cryocloud.web.subscriptions.calendar import Span
from cryocloud.web.subscriptions.charging import charge, lines_of_use, may_spend_beyond
from cryocloud.web.subscriptions.models import Quote, Subscription
from cryocloud.web.subscriptions.months import give_months
from cryocloud.web.subscriptions.orders import hold_running, offered_plan, record, require_owner, terms
from cryocloud.web.subscriptions.pricing import (
    HOUR_S,
    compute_cents,
    compute_over_s,
    credit_line,
    included_hours,
    is_upgrade,
    plan_line,
    price_cents,
    unused_cents,
)
from cryocloud.web.terms import Plan

LIMIT_MAX_CENTS = 10**9


@transaction.atomic
def change_plan(*, actor: Actor, organization: Organization, plan_code: str, interval: str) -> Subscription:
    """A higher plan begins at once, with what was not used of the old one as a credit; others wait."""
    require_owner(actor, organization, "Changing the plan")
    held = hold_running(organization)
    if (plan_code, interval) == (held.plan.code, held.interval):
        raise Conflict(f"That is the plan that you have: {held.plan.name}, paid {held.interval}.")
    same_plan = plan_code == held.plan.code
    plan = held.plan if same_plan else offered_plan(plan_code, interval)
    if same_plan:
        offered_plan(plan_code, interval)
    return switch(held, plan, interval, actor)


def switch(
    held: Subscription, plan: Plan, interval: str, actor: Actor, *, quote: Quote | None = None
) -> Subscription:
    """In the transaction of who decides, on a subscription that is held."""
    if held.end_wished_at:
        raise Conflict(
            f"The plan is deactivated and ends on {letters.when(held.period.until_at)}. Take that back first."
        )
    if held.organization.state != State.ACTIVE:
        raise Conflict("A payment is overdue. Pay it first; then the plan can be changed.")
    if is_upgrade(plan, held.plan):
        _change_at_once(held, plan, interval, actor, quote)
    else:
        held.next_terms, held.next_interval, held.next_quote = plan.model_dump(), interval, quote
        give_months(held)
        letters.tell_planned(held, plan, interval)
        record("subscription.change_planned", held, actor, plan=plan.code, interval=interval)
    keep(held)
    return held


def _change_at_once(held: Subscription, plan: Plan, interval: str, actor: Actor, quote: Quote | None) -> None:
    at, before = now(), held.plan
    unused = credit_line(held.plan, held.interval, held.period, at)
    if price_cents(plan, interval) + unused.net_cents < 0:
        raise Conflict(
            f"{spoken(-unused.net_cents)} of the {held.interval} price are not used yet; that is more than plan "
            f"{plan.name} costs {interval}. Choose its yearly price, or wait until "
            f"{letters.when(held.period.until_at)}."
        )
    lines = lines_of_use(held, Span(held.running_month.from_at, at))
    held.terms, held.interval = plan.model_dump(), interval
    forget_planned(held)
    held.quote, held.due_days = quote, quote.due_days if quote else terms().due_days
    begin_months(held, at)
    # Two changes may come at one moment.
    occasion = f"change:{quote.pk if quote else plan.code}:{interval}"
    charge(held, [plan_line(plan, interval, held.period), unused, *lines], at, occasion)
    give_months(held)
    letters.tell_changed(held, before, at)
    record("subscription.changed", held, actor, before=before.code, plan=plan.code, interval=interval)


def foreseen_change(held: Subscription, plan: Plan, interval: str) -> tuple[int, int]:
    """For the page that asks: the price of a change that begins now, and the credit on it, in net cents."""
    return price_cents(plan, interval), unused_cents(
        price_cents(held.plan, held.interval), held.period, now()
    )


@transaction.atomic
def take_back(*, actor: Actor, organization: Organization) -> Subscription:
    """A deactivation or a change that has not come yet."""
    require_owner(actor, organization)
    held = hold_running(organization)
    if held.end_wished_at:
        held.end_wished_at, held.end_wished_by_id = None, ""
    elif held.next_interval:
        forget_planned(held)
    else:
        raise Conflict("Nothing is planned that could be taken back.")
    if held.lapsed_at is None:
        give_months(held)
    record("subscription.taken_back", held, actor)
    keep(held)
    return held


@transaction.atomic
def set_spending_limit(*, actor: Actor, organization: Organization, cents: int) -> Subscription:
    """What compute beyond the plan may cost a month; it holds from now on, and for what has been used it holds too."""
    require_owner(actor, organization, "Changing the spending limit")
    held = hold_running(organization)
    if not 0 <= cents <= LIMIT_MAX_CENTS:
        raise Refused(
            "The limit cannot be used.",
            {"limit": f"Give an amount from 0 to {spoken(LIMIT_MAX_CENTS)}; this is {spoken(cents)}."},
        )
    rate = held.plan.compute_cents_an_hour
    if rate is None:
        raise Conflict(
            f"Plan {held.plan.name} has no price for compute beyond what it includes, so that nothing is spent."
        )
    if cents and not may_spend_beyond(held):
        raise Conflict(
            "Compute beyond the plan begins with the first payment. Pay the first invoice, then set the limit."
        )
    spent = spent_cents(held)
    if cents < spent:
        raise Refused(
            "The limit is lower than what has been used.",
            {
                "limit": f"{spoken(spent)} have been used this month. Give at least that; a lower one can be set next "
                "month."
            },
        )
    before, held.spending_limit_cents = held.spending_limit_cents, cents
    rows = Allowance.unscoped.filter(organization_id=held.organization_id, until_at__gt=now())
    rows.update(spending_limit_cents=cents)
    record("subscription.spending_limit_set", held, actor, before=before, cents=cents)
    keep(held)
    return held


def spent_cents(held: Subscription) -> int:
    """What compute beyond the plan has cost in the running month so far, at most the limit."""
    rate = held.plan.compute_cents_an_hour
    if rate is None or held.lapsed_at is not None:
        return 0
    month = held.running_month
    billed_s = usage_of(held.organization_id, month.from_at, month.until_at).billed_s
    included_s = included_hours(held.plan, held.organization.compute_hours_max) * HOUR_S
    over_s = compute_over_s(included_s, billed_s)
    return compute_cents(rate, over_s, held.spending_limit_cents)


@transaction.atomic
def pay_by_transfer(*, actor: Actor, organization: Organization) -> Subscription:
    """Invoices from now on are paid by transfer; what is under way stays as it is."""
    require_owner(actor, organization, "Changing the way to pay")
    held = hold_running(organization)
    held.provider = ProviderName.MANUAL
    record("subscription.provider_set", held, actor, provider=held.provider)
    keep(held)
    return held


def leave_method(*, actor: Actor, organization: Organization, provider: str) -> MethodChange:
    """Another card or account, left on a page of the provider; once it is there, invoices are taken from it."""
    require_owner(actor, organization, "Changing the way to pay")
    with transaction.atomic():
        hold_running(organization)
    return begin_method_change(actor=actor, organization=organization, provider=provider)


@transaction.atomic
def pay_by_method(*, actor: Actor, organization: Organization) -> Subscription:
    """Invoices from now on are taken by the method that was paid with before."""
    require_owner(actor, organization, "Changing the way to pay")
    held = hold_running(organization)
    method = method_of(organization)
    if method is None or not method.charges:
        raise Conflict(
            "No card or account is known. Leave one on the page “How to pay”, or pay an invoice with it."
        )
    held.provider = method.provider
    record("subscription.provider_set", held, actor, provider=held.provider)
    keep(held)
    return held
