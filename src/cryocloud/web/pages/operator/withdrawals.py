"""Withdrawals that were declared without logging in and not carried out by the mailed link."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.operations.contracts import withdrawal_found
from cryocloud.web.pages.operator.contracts import ReasonForm
from cryocloud.web.pages.operator.door import operators_only
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.ending import may_withdraw, withdrawn_until
from cryocloud.web.subscriptions.orders import terms


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def withdrawal(request: HttpRequest, actor: Actor, withdrawal: str) -> HttpResponse:
    terms()
    found = withdrawal_found(withdrawal)
    if found is None:
        raise NotFound
    form, refusal = ReasonForm(request.POST or None), ""
    form.fields["reason"].help_text = "It stands in the audit log."
    if form.is_valid():
        carry_out, reason = request.POST.get("decision") == "carry_out", form.cleaned_data["reason"]
        try:
            services.settle_withdrawal(actor=actor, withdrawal=found, carry_out=carry_out, reason=reason)
        except Refused as refused:
            show_refusal(form, refused)
        except Conflict as conflict:
            refusal = str(conflict)
        else:
            messages.success(request, "The withdrawal is settled.")
            return redirect("operator_subscriptions")
    held = found.subscription
    shown = {
        "section": "operator",
        "declared": found,
        "held": held,
        "is_in_time": held is not None and may_withdraw(held, found.created_at),
        "until": withdrawn_until(held) if held else None,
        "form": form,
        "refusal": refusal,
    }
    status = 409 if refusal else 422 if form.errors else 200
    return render(request, "operations/withdrawal.html", shown, status=status)


urlpatterns: list[URLPattern] = [
    path("operator/withdrawals/<str:withdrawal>/", withdrawal, name="operator_withdrawal")
]
