"""The plan of the current organization: what is used of it, what comes next, and what is to be paid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.customers import known_customer
from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.money import spoken
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import TenantRecord
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.organizations.states import State, standing
from cryocloud.web.pages.gauges import compute_gauge, storage_gauges
from cryocloud.web.pages.offer import included
from cryocloud.web.pages.plan.door import members_where_sold
from cryocloud.web.pages.plan.prices import Prices, prices_for
from cryocloud.web.pages.visitor import current_organization
from cryocloud.web.payments.models import Payment
from cryocloud.web.payments.services import method_of
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.changes import spent_cents
from cryocloud.web.subscriptions.charging import may_spend_beyond
from cryocloud.web.subscriptions.models import Quote, RefundReview, Subscription
from cryocloud.web.subscriptions.outlook import next_invoice, what_comes
from cryocloud.web.subscriptions.pricing import UNITS, price_cents
from cryocloud.web.subscriptions.quotes import standing_of

Row = TypeVar("Row", bound=TenantRecord)


@dataclass(frozen=True)
class ToPay:
    """An invoice that waits for money: what, until when, and what went wrong."""

    number: str
    words: str
    due_at: datetime
    is_late: bool
    failure: str
    next_try_at: datetime | None
    payment_id: str


@never_cache
@require_safe
@members_where_sold
def plan(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_role(actor, current.pk, Role.VIEWER, access.Purpose.GOVERN)
    own = access.role_in(actor, current.pk) or Role.VIEWER
    held = services.subscription_of(current)
    found = standing(current)
    shown = {
        "section": "organization",
        "organization": current,
        "standing": found,
        "state_words": State(found.state).label,
        "is_owner": own == Role.OWNER,
        "held": held,
        "coming": what_comes(current, held),
        "meters": _meters(current, found.state) if found.may_compute else [],
        "quotes": _open_quotes(actor, current) if own >= Role.ADMIN else [],
        "may_close": found.state in (State.TRIAL_ENDED, State.RETRIEVAL),
        "may_choose": held is None and found.state not in (State.CLOSED, State.PURGED),
    }
    if held is not None:
        shown |= _contract(actor, held, prices_for(current))
    return render(request, "plan/plan.html", shown)


def _meters(organization: Organization, state: State) -> list[tuple[str, str, object]]:
    storage, files = storage_gauges(organization)
    return [
        (
            "compute",
            "Compute of the trial" if state == State.TRIAL else "Compute of this month",
            compute_gauge(organization),
        ),
        ("storage", "Storage", storage),
        ("files", "Files", files),
    ]


def _contract(actor: Actor, held: Subscription, prices: Prices) -> dict[str, object]:
    """What stands on the page of a plan that was chosen."""
    foreseen = next_invoice(held)
    live = _own(actor, Payment, held).filter(state__in=Payment.LIVE).select_related("invoice")
    customer, method = known_customer(held.organization), method_of(held.organization)
    return {
        "plan": held.plan,
        "included": included(held.plan),
        "price": f"{prices.words(price_cents(held.plan, held.interval))} a {UNITS[held.interval]}",
        "foreseen": foreseen,
        "foreseen_lines": [(line.text, spoken(line.net_cents)) for line in foreseen.lines]
        if foreseen
        else [],
        "foreseen_total": prices.total(foreseen.net_cents) if foreseen else "",
        "to_pay": [
            _to_pay(payment) for payment in live.order_by("created_at") if open_cents(payment.invoice) > 0
        ],
        "customer": customer,
        "pays_by": method.words if method and held.provider != "manual" else "bank transfer",
        "limit": spoken(held.spending_limit_cents) if held.plan.compute_cents_an_hour is not None else "",
        "may_spend_beyond": may_spend_beyond(held),
        "spent": spoken(spent_cents(held)) if held.state == Subscription.State.RUNNING else "",
        "review": _own(actor, RefundReview, held).filter(subscription=held).first(),
    }


def _own(actor: Actor, model: type[Row], held: Subscription) -> QuerySet[Row]:
    return access.within(actor, model, held.organization, purpose=access.Purpose.GOVERN)


def _to_pay(payment: Payment) -> ToPay:
    return ToPay(
        payment.invoice.number,
        spoken(payment.missing_cents),
        payment.invoice.due_at,
        payment.first_failed_at is not None or payment.invoice.due_at <= now(),
        payment.failure,
        payment.next_try_at,
        payment.pk,
    )


def _open_quotes(actor: Actor, organization: Organization) -> list[Quote]:
    found = access.within(actor, Quote, organization, purpose=access.Purpose.GOVERN)
    return [quote for quote in found.order_by("-created_at") if standing_of(quote) == "open"]


@require_POST
@members_where_sold
def take_back(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    services.take_back(actor=actor, organization=current)
    messages.success(request, "That is taken back; the plan goes on as it was.")
    return redirect("plan")


urlpatterns: list[URLPattern] = [
    path("organization/plan/", plan, name="plan"),
    path("organization/plan/take-back/", take_back, name="take_back"),
]
