"""Payments of all organizations, refunds that need a person, and what does not agree."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Refused
from cryocloud.web.core.plain_text import REASON_LENGTH
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.payments.models import Payment
from cryocloud.web.payments.payment_words import standing_of
from cryocloud.web.payments.reconciliation import last_reconciled_at, reconcile_now
from cryocloud.web.payments.registers import differences, get_refund, payments_found, refunds_in_trouble
from cryocloud.web.payments.transfers import send_by_transfer

PER_PAGE = 50


class AccountForm(forms.Form):
    name = forms.CharField(label="Account holder", max_length=200)
    iban = forms.CharField(label="IBAN", max_length=50)
    reason = forms.CharField(
        label="Reason", max_length=REASON_LENGTH, help_text="Stands in the audit log beside the account."
    )


@require_safe
@operators_only
def payments(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    text, state = request.GET.get("q", "").strip()[:100], request.GET.get("state", "")
    page = Paginator(payments_found(actor, text, state), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "operator",
        "differences": differences(actor),
        "reconciled_at": last_reconciled_at(),
        "troubled": refunds_in_trouble(actor),
        "page": page,
        "payments": [(one, standing_of(one)) for one in page],
        "text": text,
        "state": state,
        "states": [("", "all states"), *Payment.State.choices],
    }
    return render(request, "operations/payments.html", shown)


@operators_only
@require_POST
def reconcile(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    reconcile_now(actor=actor)
    messages.success(request, "The worker compares everything now; load the page again in a minute.")
    return redirect("operator_payments")


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def refund(request: HttpRequest, actor: Actor, refund: str) -> HttpResponse:
    """Name the account to which a refund is transferred."""
    found = get_refund(actor, refund)
    form = AccountForm(request.POST or None, initial={"name": found.name, "iban": found.iban})
    if form.is_valid():
        try:
            send_by_transfer(actor=actor, refund=found, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, "The refund waits for the next file to the bank.")
            return redirect("operator_bank")
    shown = {"section": "operator", "refund": found, "form": form}
    return render(request, "operations/refund.html", shown, status=422 if form.errors else 200)


urlpatterns: list[URLPattern] = [
    path("operator/payments/", payments, name="operator_payments"),
    path("operator/payments/reconcile/", reconcile, name="operator_reconcile"),
    path("operator/payments/refunds/<str:refund>/", refund, name="operator_refund"),
]
