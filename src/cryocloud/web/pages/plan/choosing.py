"""Choosing a plan and changing it: what it costs and what follows stands on the page that asks."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.billing.customers import known_customer
from cryocloud.web.billing.money import spoken
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Busy, Conflict, Refused
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.organizations.states import standing
from cryocloud.web.pages.invoices import DetailsForm, save_details
from cryocloud.web.pages.offer import included
from cryocloud.web.pages.once import new_order_key, order_once
from cryocloud.web.pages.plan.door import members_where_sold
from cryocloud.web.pages.plan.prices import Prices, prices_for
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.visitor import current_organization
from cryocloud.web.payments.models import ProviderName
from cryocloud.web.payments.providers import offered
from cryocloud.web.payments.services import begin_checkout
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.changes import foreseen_change
from cryocloud.web.subscriptions.models import Interval, Subscription
from cryocloud.web.subscriptions.orders import first_invoice, offered_plan, terms
from cryocloud.web.subscriptions.pricing import UNITS, is_upgrade, price_cents
from cryocloud.web.terms import Plan

PROVIDER_WORDS = {
    ProviderName.MANUAL: "Bank transfer: it begins now, and the invoice is due in {days} days",
    ProviderName.STRIPE: "Card or direct debit through Stripe: it begins with the first payment",
    ProviderName.MOLLIE: "Card, iDEAL or direct debit through Mollie: it begins with the first payment",
}


class ProviderForm(forms.Form):
    provider = forms.ChoiceField(label="How to pay", widget=forms.RadioSelect)

    def __init__(self, data: object = None) -> None:
        super().__init__(data, initial={"provider": ProviderName.MANUAL})  # type: ignore[arg-type]  # POST or None
        days = terms().due_days
        self.fields["provider"].choices = [  # type: ignore[attr-defined]  # a ChoiceField
            (name.value, PROVIDER_WORDS[name].format(days=days)) for name in offered()
        ]


@dataclass(frozen=True)
class Card:
    """A plan on the page that lets choose."""

    plan: Plan
    included: list[str]
    prices: list[tuple[str, str, bool]]
    """Interval, price, and whether it is what the organization has."""


@never_cache
@require_safe
@members_where_sold
def choose(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_role(actor, current.pk, Role.VIEWER, access.Purpose.GOVERN)
    held, prices = _running(current), prices_for(current)
    shown = {
        "section": "organization",
        "organization": current,
        "held": held,
        "cards": [_card(plan, prices, held) for plan in terms().offered],
        "is_owner": access.role_in(actor, current.pk) == Role.OWNER,
        "refund_days": configuration().refund_days,
    }
    return render(request, "plan/choose.html", shown)


def _card(plan: Plan, prices: Prices, held: Subscription | None) -> Card:
    intervals = [one for one in Interval if one == Interval.MONTHLY or plan.yearly_cents is not None]
    own = (held.plan.code, held.interval) if held else None
    return Card(
        plan,
        included(plan),
        [
            (one.value, f"{prices.words(price_cents(plan, one))} a {UNITS[one]}", own == (plan.code, one))
            for one in intervals
        ],
    )


@never_cache
@members_where_sold
@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What a choice comes to, and the button that makes it; for a plan that runs it is a change.

    What the order needs is asked for first: nobody fills in who pays to be refused after it.
    """
    current = current_organization(request, actor)
    access.require_governor(actor, current.pk, Role.OWNER)
    require_second_factor(actor, "Choosing a plan")
    wanted = request.POST if request.method == "POST" else request.GET
    plan = offered_plan(wanted.get("plan", ""), wanted.get("interval", ""))
    held = _running(current)
    if held is not None:
        return _change(request, actor, held, plan, wanted["interval"])
    return _first(request, actor, current, plan, wanted["interval"])


def _first(
    request: HttpRequest, actor: Actor, current: Organization, plan: Plan, interval: str
) -> HttpResponse:
    """Who pays is asked before the order: only then its total is known, with the VAT of that country."""
    customer = known_customer(current)
    if customer is None:
        return _ask_who_pays(request, actor, current, plan, interval)
    form, refusal = ProviderForm(request.POST or None), ""
    if form.is_valid():
        try:
            return order_once(request, actor, lambda: _begin(request, actor, current, plan, interval, form))
        except Refused as refused:
            show_refusal(form, refused)
        except (Conflict, Busy) as conflict:
            refusal = str(conflict)
    prices = prices_for(current)
    shown = {
        **_ordered(current, plan, interval),
        "customer": customer,
        "total": prices.total(price_cents(plan, interval)),
        "form": form,
        "refusal": refusal,
        "order_key": new_order_key(),
        "shown_for": _shown_for(current, None),
        "standing": standing(current),
    }
    return render(request, "plan/order.html", shown, status=422 if form.errors or refusal else 200)


def _ask_who_pays(
    request: HttpRequest, actor: Actor, current: Organization, plan: Plan, interval: str
) -> HttpResponse:
    form = DetailsForm(request.POST or None, {"kind": "business", "email": actor.user.email})
    if save_details(form, actor, current):
        return redirect(f"{reverse('order_plan')}?{urlencode({'plan': plan.code, 'interval': interval})}")
    shown = {**_ordered(current, plan, interval), "form": form}
    return render(request, "plan/who_pays.html", shown, status=422 if form.errors else 200)


def _ordered(current: Organization, plan: Plan, interval: str) -> dict[str, object]:
    return {
        "section": "organization",
        "organization": current,
        "plan": plan,
        "interval": interval,
        "price": f"{prices_for(current).words(price_cents(plan, interval))} a {UNITS[interval]}",
        "included": included(plan),
        "refund_days": configuration().refund_days,
    }


def _begin(
    request: HttpRequest,
    actor: Actor,
    current: Organization,
    plan: Plan,
    interval: str,
    form: ProviderForm,
) -> str:
    _require_as_shown(request, current, None)
    provider = form.cleaned_data["provider"]
    held = services.subscribe(
        actor=actor, organization=current, plan_code=plan.code, interval=interval, provider=provider
    )
    if held.state != Subscription.State.ORDERED:
        messages.success(
            request, f"Plan {plan.name} has begun. The invoice follows by mail; what was running goes on."
        )
    return reverse("plan")


@require_POST
@members_where_sold
def pay_order(request: HttpRequest, actor: Actor) -> HttpResponse:
    """On to the page of the provider for an order that waits for its first payment."""
    current = current_organization(request, actor)
    access.require_governor(actor, current.pk, Role.OWNER)
    held = services.subscription_of(current)
    if held is None or held.state != Subscription.State.ORDERED:
        return redirect("plan")
    begun = begin_checkout(
        actor=actor, organization=current, invoice=first_invoice(held), provider=held.provider
    )
    return redirect("onward", payment_id=begun.payment.pk)


def _change(
    request: HttpRequest, actor: Actor, held: Subscription, plan: Plan, interval: str
) -> HttpResponse:
    refusal = ""
    if request.method == "POST":
        try:
            return order_once(request, actor, lambda: _make_change(request, actor, held, plan, interval))
        except Conflict as conflict:
            refusal = str(conflict)
    prices, at_once = prices_for(held.organization), is_upgrade(plan, held.plan)
    price, unused = foreseen_change(held, plan, interval)
    shown = {
        "section": "organization",
        "organization": held.organization,
        "held": held,
        "plan": plan,
        "interval": interval,
        "price": f"{prices.words(price_cents(plan, interval))} a {UNITS[interval]}",
        "included": included(plan),
        "at_once": at_once,
        "now_price": spoken(price),
        "now_credit": spoken(-unused),
        "now_total": prices.total(price - unused),
        "holds_less": plan.storage_bytes < held.plan.storage_bytes,
        "refusal": refusal,
        "order_key": new_order_key(),
        "shown_for": _shown_for(held.organization, held),
    }
    return render(request, "plan/change.html", shown, status=409 if refusal else 200)


def _make_change(request: HttpRequest, actor: Actor, held: Subscription, plan: Plan, interval: str) -> str:
    held = services.advance(held.pk)
    _require_as_shown(request, held.organization, held)
    changed = services.change_plan(
        actor=actor, organization=held.organization, plan_code=plan.code, interval=interval
    )
    if changed.next_interval:
        messages.success(
            request,
            f"Plan {plan.name} is chosen; it begins on {changed.period.until_at:%-d %B %Y, %H:%M} UTC.",
        )
    else:
        messages.success(request, f"Plan {plan.name} has begun. Jobs and uploads go on.")
    return reverse("plan")


def _shown_for(current: Organization, held: Subscription | None) -> str:
    """Which contract, and whose VAT, a form was drawn for, as it stood then."""
    contract = f"{held.pk}:{held.plan.code}:{held.interval}:{held.anchor}" if held else "none"
    return f"{contract}:{prices_for(current).vat_key}"


def _require_as_shown(request: HttpRequest, current: Organization, held: Subscription | None) -> None:
    """What somebody agrees to on a page is what the page said, whatever another tab did since."""
    if request.POST.get("shown_for", "") != _shown_for(current, held):
        raise Conflict(
            "The plan or who pays was changed since this page was opened. Read once more what it comes to."
        )


def _running(organization: Organization) -> Subscription | None:
    found = services.subscription_of(organization)
    return found if found and found.state == Subscription.State.RUNNING else None


urlpatterns: list[URLPattern] = [
    path("organization/plan/choose/", choose, name="choose_plan"),
    path("organization/plan/order/", order, name="order_plan"),
    path("organization/plan/pay/", pay_order, name="pay_order"),
]
