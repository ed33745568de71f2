"""An offer to one organization, as its owners see and accept it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.customers import NoCustomer, known_customer
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.offer import included
from cryocloud.web.pages.once import new_order_key, order_once
from cryocloud.web.pages.plan.door import members_where_sold
from cryocloud.web.pages.plan.prices import prices_for
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.models import Quote, Subscription
from cryocloud.web.subscriptions.orders import subscription_of
from cryocloud.web.subscriptions.pricing import UNITS, is_upgrade, price_cents
from cryocloud.web.subscriptions.quotes import standing_of


class AcceptForm(forms.Form):
    name = forms.CharField(
        label="Your name", max_length=120, help_text="It stands with the time beside what you accept."
    )


@never_cache
@members_where_sold
@require_http_methods(["GET", "HEAD", "POST"])
def quote(request: HttpRequest, actor: Actor, quote_id: str) -> HttpResponse:
    found = access.get(actor, Quote, quote_id, needs=Role.ADMIN, purpose=access.Purpose.READ)
    is_owner = access.role_in(actor, found.organization_id) == Role.OWNER
    form, refusal = AcceptForm(request.POST or None, initial={"name": actor.user.name}), ""
    if request.method == "POST":
        access.require_governor(actor, found.organization_id, Role.OWNER)
    if form.is_valid():
        try:
            return order_once(request, actor, lambda: _accept(request, actor, found, form))
        except Refused as refused:
            show_refusal(form, refused)
        except NoCustomer:
            raise
        except Conflict as conflict:
            refusal = str(conflict)
    prices, live = prices_for(found.organization), subscription_of(found.organization)
    running = live if live and live.state == Subscription.State.RUNNING else None
    shown = {
        "section": "organization",
        "organization": found.organization,
        "quote": found,
        "plan": found.plan,
        "standing": standing_of(found),
        "is_owner": is_owner,
        "price": f"{prices.words(price_cents(found.plan, found.interval))} a {UNITS[found.interval]}",
        "total": prices.total(price_cents(found.plan, found.interval)),
        "included": included(found.plan),
        "begins_at": running.period.until_at
        if running and not is_upgrade(found.plan, running.plan)
        else None,
        "customer": known_customer(found.organization),
        "form": form,
        "refusal": refusal,
        "order_key": new_order_key(),
    }
    status = 409 if refusal else 422 if form.errors else 200
    return render(request, "plan/quote.html", shown, status=status)


def _accept(request: HttpRequest, actor: Actor, found: Quote, form: AcceptForm) -> str:
    services.accept_quote(
        actor=actor,
        quote=found,
        name=form.cleaned_data["name"],
        content_sha256=request.POST.get("content_sha256", ""),
    )
    messages.success(request, f"Quote {found.number} is accepted. A mail confirms it.")
    return reverse("plan")


urlpatterns: list[URLPattern] = [path("organization/quotes/<str:quote_id>/", quote, name="quote")]
