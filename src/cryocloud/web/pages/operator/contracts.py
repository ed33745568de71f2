"""Subscriptions of all organizations, refunds that a person decides, and quotes for plans of their own."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.money import spoken
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.core.plain_text import REASON_LENGTH
from cryocloud.web.operations.contracts import (
    KINDS,
    quote_found,
    quotes_found,
    review_of,
    reviews_waiting,
    subscription_found,
    subscriptions_found,
)
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State
from cryocloud.web.pages.offer import included
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.ending import OVERDUE_BEFORE_END
from cryocloud.web.subscriptions.models import Interval, Subscription
from cryocloud.web.subscriptions.orders import terms
from cryocloud.web.subscriptions.outlook import what_comes
from cryocloud.web.subscriptions.pricing import UNITS, price_cents
from cryocloud.web.subscriptions.quotes import DUE_DAYS_MAX, Offer, standing_of
from cryocloud.web.subscriptions.withdrawals import withdrawals_open
from cryocloud.web.terms import Plan

PER_PAGE = 25
TB = 10**12


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=REASON_LENGTH,
        help_text="The owners read it, and it stands in the audit log.",
    )


class QuoteForm(forms.Form):
    name = forms.CharField(label="Name of the plan", max_length=60)
    interval = forms.ChoiceField(label="Paid", choices=Interval.choices)
    price = forms.DecimalField(
        label="Price in EUR, without VAT",
        min_value=0,
        max_value=10**7,
        decimal_places=2,
        help_text="Of one interval.",
    )
    compute_hours = forms.IntegerField(label="Compute in hours a month", min_value=0, max_value=10**6)
    storage_tb = forms.DecimalField(label="Storage in TB", min_value=0, max_value=10**6, decimal_places=3)
    slots = forms.IntegerField(
        label="Jobs at the same time",
        min_value=1,
        max_value=1024,
        required=False,
        help_text="Empty: as for all.",
    )
    compute_rate = forms.DecimalField(
        label="More compute, in EUR an hour",
        min_value=0,
        max_value=10**4,
        decimal_places=2,
        required=False,
        help_text="Empty: work waits when the hours are used.",
    )
    storage_rate = forms.DecimalField(
        label="More storage, in EUR a TB and 30 days",
        min_value=0,
        max_value=10**4,
        decimal_places=2,
        required=False,
        help_text="Empty: uploads wait when it is full.",
    )
    due_days = forms.IntegerField(label="Days to pay", min_value=1, max_value=DUE_DAYS_MAX, initial=30)
    po_number = forms.CharField(label="Order number of the customer", max_length=40, required=False)
    valid_until = forms.DateField(
        label="Open until the end of", widget=forms.DateInput({"type": "date"}), help_text="The day in UTC."
    )
    words = forms.CharField(
        label="Words to the customer", max_length=2000, required=False, widget=forms.Textarea({"rows": 4})
    )

    @property
    def offer(self) -> Offer:
        given = self.cleaned_data
        price, yearly = _cents(given["price"]), given["interval"] == Interval.YEARLY
        plan = Plan(
            code=f"custom-{slugify(given['name'])}"[:39].rstrip("-"),
            name=given["name"],
            monthly_cents=round(price / 12) if yearly else price,
            yearly_cents=price if yearly else None,
            compute_hours=given["compute_hours"],
            storage_bytes=int(given["storage_tb"] * TB),
            files=None,
            slots=given["slots"],
            is_offered=False,
            compute_cents_an_hour=_cents(given["compute_rate"])
            if given["compute_rate"] is not None
            else None,
            storage_cents_a_terabyte_month=_cents(given["storage_rate"])
            if given["storage_rate"] is not None
            else None,
        )
        return Offer(
            plan,
            given["interval"],
            given["due_days"],
            given["po_number"],
            given["words"],
            datetime.combine(given["valid_until"], time(23, 59, 59), tzinfo=UTC),
        )


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


@require_safe
@operators_only
def subscriptions(request: HttpRequest, actor: Actor) -> HttpResponse:
    terms()
    text, kind = request.GET.get("q", "").strip()[:100], request.GET.get("kind", "")
    page = Paginator(subscriptions_found(text, kind), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "operator",
        "page": page,
        "rows": [(one, _price(one)) for one in page],
        "text": text,
        "kind": kind,
        "kinds": KINDS,
        "reviews": reviews_waiting(),
        "withdrawals": withdrawals_open(),
        "quotes": [(quote, standing_of(quote)) for quote in quotes_found()[:PER_PAGE]],
    }
    return render(request, "operations/subscriptions.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def subscription(request: HttpRequest, actor: Actor, subscription: str) -> HttpResponse:
    """How it stands; the forms decide about a refund, or end what was not paid for long."""
    terms()
    found = subscription_found(subscription)
    if found is None:
        raise NotFound
    form, refusal, review = ReasonForm(request.POST or None), "", review_of(found)
    if form.is_valid():
        try:
            _decide(actor, found, request.POST.get("decision", ""), form.cleaned_data["reason"])
        except Refused as refused:
            show_refusal(form, refused)
        except Conflict as conflict:
            refusal = str(conflict)
        else:
            messages.success(request, "That is decided, and the owners are told.")
            return redirect("operator_subscription", subscription=found.pk)
    overdue = found.organization.state == State.PAST_DUE and found.state == Subscription.State.RUNNING
    may_end_at = found.organization.state_since + OVERDUE_BEFORE_END if overdue else None
    shown = {
        "section": "operator",
        "held": found,
        "price": _price(found),
        "included": included(found.plan),
        "coming": what_comes(found.organization, found),
        "review": review,
        "may_end_at": may_end_at,
        "may_end": may_end_at is not None and now() >= may_end_at,
        "form": form,
        "refusal": refusal,
    }
    status = 409 if refusal else 422 if form.errors else 200
    return render(request, "operations/subscription.html", shown, status=status)


def _decide(actor: Actor, found: Subscription, decision: str, reason: str) -> None:
    review = review_of(found)
    if decision == "end":
        services.end_overdue(actor=actor, subscription=found, reason=reason)
    elif decision in ("grant", "decline") and review is not None:
        services.decide_review(actor=actor, review=review, grant=decision == "grant", reason=reason)
    else:
        raise Refused(f"“{decision[:20]}” cannot be decided here.")


def _price(one: Subscription) -> str:
    return f"{spoken(price_cents(one.plan, one.interval))} a {UNITS[one.interval]}"


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def write_quote(request: HttpRequest, actor: Actor, organization: str) -> HttpResponse:
    terms()
    found = Organization.objects.filter(pk=organization).first()
    if found is None:
        raise NotFound
    form = QuoteForm(request.POST or None)
    if form.is_valid():
        try:
            quote = services.write_quote(actor=actor, organization=found, offer=form.offer)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, f"Quote {quote.number} is written, and the owners are told.")
            return redirect("operator_quote", quote=quote.pk)
    shown = {"section": "operator", "organization": found, "form": form}
    return render(request, "operations/write_quote.html", shown, status=422 if form.errors else 200)


@require_safe
@operators_only
def quote(request: HttpRequest, actor: Actor, quote: str) -> HttpResponse:
    return _show_quote(request, quote, ReasonForm())


@operators_only
@require_POST
def withdraw(request: HttpRequest, actor: Actor, quote: str) -> HttpResponse:
    terms()
    found, form = quote_found(quote), ReasonForm(request.POST)
    if found is None:
        raise NotFound
    if form.is_valid():
        services.withdraw_quote(actor=actor, quote=found, reason=form.cleaned_data["reason"])
        messages.success(request, f"Quote {found.number} is withdrawn.")
        return redirect("operator_quote", quote=found.pk)
    return _show_quote(request, quote, form)


def _show_quote(request: HttpRequest, quote_id: str, form: ReasonForm) -> HttpResponse:
    terms()
    found = quote_found(quote_id)
    if found is None:
        raise NotFound
    shown = {
        "section": "operator",
        "quote": found,
        "plan": found.plan,
        "price": f"{spoken(price_cents(found.plan, found.interval))} a {UNITS[found.interval]}",
        "included": included(found.plan),
        "standing": standing_of(found),
        "form": form,
    }
    return render(request, "operations/quote.html", shown, status=422 if form.errors else 200)


urlpatterns: list[URLPattern] = [
    path("operator/subscriptions/", subscriptions, name="operator_subscriptions"),
    path("operator/subscriptions/<str:subscription>/", subscription, name="operator_subscription"),
    path("operator/organizations/<str:organization>/quotes/new/", write_quote, name="operator_write_quote"),
    path("operator/quotes/<str:quote>/", quote, name="operator_quote"),
    path("operator/quotes/<str:quote>/withdraw/", withdraw, name="operator_withdraw_quote"),
]
