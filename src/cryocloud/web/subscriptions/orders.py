"""Subscribing: by transfer it begins with the order, by other means with the first payment."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.customers import require_sellable
from cryocloud.web.billing.models import Invoice
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.organizations.states import CLOCK, State, settle
from cryocloud.web.payments.models import Method, Payment, ProviderName
from cryocloud.web.payments.providers import offered
from cryocloud.web.subscriptions import letters
from cryocloud.web.subscriptions.advance import (
    advance,
    begin_months,
    change_state,
    drop_order,
    fall_behind,
    keep,
)
from cryocloud.web.subscriptions.calendar import MONTHS, Span, boundary
from cryocloud.web.subscriptions.charging import charge, debts_of, give_back_all, invoice_lines, invoices_of
from cryocloud.web.subscriptions.models import Interval, Quote, Subscription
from cryocloud.web.subscriptions.months import give_months
from cryocloud.web.subscriptions.pricing import plan_line, price_cents
from cryocloud.web.terms import Billing, Plan, billing

ORDERS_A_DAY = 20
"""Of one organization: each leaves an invoice, and a credit note if it is not paid, that are kept for years."""
FROM = (State.TRIAL, State.TRIAL_ENDED, State.RETRIEVAL, State.ACTIVE)
"""Where an organization without a plan may stand when it chooses one."""


def terms() -> Billing:
    """What is sold; where nothing is, nothing of this exists."""
    sold = billing()
    if sold is None:
        raise NotFound
    return sold


def require_owner(actor: Actor, organization: Organization, purpose: str = "") -> None:
    """Owners decide what is paid; with a ``purpose`` a second factor is needed, as for all that could harm."""
    terms()
    access.require_governor(actor, organization.pk, Role.OWNER)
    if purpose:
        require_second_factor(actor, purpose)


def subscription_of(organization: Organization) -> Subscription | None:
    """The one that has not ended; the caller has been through the door."""
    live = (Subscription.State.ORDERED, Subscription.State.RUNNING)
    return Subscription.unscoped.filter(organization=organization, state__in=live).first()


def hold_running(organization: Organization) -> Subscription:
    """Advanced to this moment and held, for a change to it."""
    found = subscription_of(organization)
    held = advance(found.pk) if found else None
    if held is None or held.state != Subscription.State.RUNNING:
        raise Conflict("This organization has no plan that runs. Choose one first.")
    return held


def offered_plan(code: str, interval: str) -> Plan:
    """One that can be chosen, at a price that it has."""
    sold = terms()
    plan = next((plan for plan in sold.offered if plan.code == code), None)
    if plan is None:
        raise Refused("There is no such plan.", {"plan": f"“{code[:40]}” is not offered here."})
    require_interval(plan, interval)
    return plan


def require_interval(plan: Plan, interval: str) -> None:
    if interval not in Interval.values:
        raise Refused("Unknown interval.", {"interval": f"“{interval[:20]}” is none of: monthly, yearly."})
    if interval == Interval.YEARLY and plan.yearly_cents is None:
        raise Refused("No yearly price.", {"interval": f"Plan {plan.name} is paid monthly only."})


@transaction.atomic
def subscribe(
    *, actor: Actor, organization: Organization, plan_code: str, interval: str, provider: str
) -> Subscription:
    """Choose a first plan, or one again after the end of another; data stay as they are."""
    require_owner(actor, organization, "Choosing a plan")
    return order(actor, organization, offered_plan(plan_code, interval), interval, provider)


def order(
    actor: Actor,
    organization: Organization,
    plan: Plan,
    interval: str,
    provider: str,
    *,
    quote: Quote | None = None,
) -> Subscription:
    """In the transaction of who chooses; an order that was not paid gives way."""
    if provider not in offered():
        raise Refused("Unknown way to pay.", {"provider": f"“{provider[:20]}” is not offered here."})
    require_sellable(organization)
    spend("plan ordered", organization.pk, amount=ORDERS_A_DAY, window_s=24 * 3600)
    stands = settle(organization.pk)
    live = subscription_of(stands)
    if live is not None:
        stands = _give_way(advance(live.pk))
    _require_no_debt(stands)
    if stands.state not in FROM:
        raise Conflict(
            f"The organization is “{stands.get_state_display()}”; no plan can be chosen there any more."
        )
    held = Subscription(
        organization=stands,
        state=Subscription.State.ORDERED,
        terms=plan.model_dump(),
        interval=interval,
        provider=provider,
        due_days=quote.due_days if quote else terms().due_days,
        quote=quote,
    )
    held.save(force_insert=True)
    record("subscription.ordered", held, actor, plan=plan.code, interval=interval, provider=provider)
    moment = now()
    if provider == ProviderName.MANUAL or price_cents(plan, interval) == 0:
        begin(held, moment, actor_id=actor.user.pk)
        charge(held, [plan_line(plan, interval, held.period)], moment, "begin")
    else:
        foreseen = Span(moment, boundary(moment, MONTHS[interval]))
        invoice_lines(held, [plan_line(plan, interval, foreseen)], moment, "begin")
    keep(held)
    return held


def first_invoice(held: Subscription) -> Invoice:
    """What an order waits for."""
    return invoices_of(held)[0]


def begin(held: Subscription, at: datetime, *, actor_id: str = CLOCK) -> None:
    """The first month runs."""
    held.state, held.began_at = Subscription.State.RUNNING, at
    begin_months(held, at)
    if held.organization.state != State.ACTIVE:
        change_state(held, State.ACTIVE, at, reason=f"Plan {held.plan.name} was chosen.", actor_id=actor_id)
    give_months(held)
    letters.tell_begun(held)


def hear_paid(payment: Payment) -> None:
    """A payment is complete: an order begins with it, and what was overdue may be settled."""
    if not payment.invoice.subscription_id:
        return
    held = advance(payment.invoice.subscription_id)
    if held.state == Subscription.State.ORDERED:
        if held.organization.state in FROM:
            begin(held, payment.paid_at or now())
        else:
            # The organization was closed while the customer paid: the money goes back.
            drop_order(held)
            give_back_all(held)
            letters.tell_dropped(held)
    if payment.provider != ProviderName.MANUAL and payment.method_id:
        held.provider = payment.provider
    keep(held)


def hear_failed(payment: Payment) -> None:
    """Money could not be taken, or was taken back."""
    if not payment.invoice.subscription_id:
        return
    held = advance(payment.invoice.subscription_id)
    if held.state == Subscription.State.RUNNING and held.organization.state == State.ACTIVE:
        fall_behind(held, now())
        keep(held)


def hear_method(method: Method) -> None:
    """An owner has left what further invoices are taken from."""
    found = subscription_of(method.organization)
    held = advance(found.pk) if found else None
    if held is not None and held.state == Subscription.State.RUNNING:
        held.provider = method.provider
        keep(held)


def _give_way(live: Subscription) -> Organization:
    """How the organization stands then: the advance may just have ended its plan."""
    if live.state == Subscription.State.RUNNING:
        raise Conflict(f"Plan {live.plan.name} runs already. Change it on the page of your plan.")
    if live.state == Subscription.State.ORDERED:
        drop_order(live)
        keep(live)
    return live.organization


def _require_no_debt(organization: Organization) -> None:
    """Else one plan after another could be had on invoices that nobody pays."""
    ended = Subscription.unscoped.filter(organization=organization, state=Subscription.State.ENDED)
    late = [debt.number for held in ended for debt in debts_of(held) if debt.is_late(now())]
    if late:
        raise Conflict(f"Invoice {late[0]} of an earlier plan is overdue. Pay it first; then choose a plan.")


def record(verb: str, held: Subscription, actor: Actor, **detail: object) -> None:
    record_event(
        verb,
        organization_id=held.organization_id,
        target=held,
        actor_id=actor.user.pk,
        via=actor.via,
        **detail,
    )
