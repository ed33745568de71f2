"""Withdrawal from a contract without logging in: declared in two steps, carried out by the link that is mailed.

Everybody who declares gets the same answer; whether number and address belong together only a mailbox learns.
"""

from __future__ import annotations

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cryocloud.web.accounts.guessing import count_wrong_secret, place_of
from cryocloud.web.accounts.sign_up import name_for_form
from cryocloud.web.core.errors import NotFound, TooManyRequests
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.models import NUMBER_LENGTH, Subscription
from cryocloud.web.subscriptions.orders import terms
from cryocloud.web.subscriptions.withdrawals import withdrawal_of

FORMS_FROM_ONE_PLACE, WINDOW_S = 20, 600


class WithdrawalForm(forms.Form):
    name = forms.CharField(
        label="Your name", max_length=120, widget=forms.TextInput({"autocomplete": "name"})
    )
    email = forms.EmailField(
        label="Email address of the invoices",
        help_text="The receipt goes there.",
        widget=forms.EmailInput({"autocomplete": "email"}),
    )
    number = forms.CharField(
        label="Number of an invoice or of the quote",
        max_length=NUMBER_LENGTH,
        help_text="It stands on the invoice at the top.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_name(self) -> str:
        return name_for_form(self.cleaned_data["name"], "name")

    def clean_number(self) -> str:
        return " ".join(self.cleaned_data["number"].split())


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest) -> HttpResponse:
    """What was typed goes along from step to step in the page itself: nothing is kept before it is confirmed."""
    terms()
    form = WithdrawalForm(request.POST or None)
    step = request.POST.get("step", "")
    if not form.is_valid() or step == "change":
        return _ask(request, form, 422 if form.errors else 200)
    if step != "confirm":
        return render(request, "withdrawal/confirm.html", {"form": form})
    try:
        spend("withdrawal form", place_of(request), amount=FORMS_FROM_ONE_PLACE, window_s=WINDOW_S)
        declared = services.declare_withdrawal(**form.cleaned_data)
    except TooManyRequests as refused:
        form.add_error(None, f"{refused} Nothing is kept of this one; a mail to us has the same effect.")
        return _ask(request, form, refused.status)
    return render(request, "withdrawal/received.html", {"declared": declared})


def _ask(request: HttpRequest, form: WithdrawalForm, status: int) -> HttpResponse:
    return render(request, "withdrawal/declare.html", {"form": form}, status=status)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def by_link(request: HttpRequest, secret: str) -> HttpResponse:
    """For anybody who holds the link, logged in or not. To open it changes nothing, since programs open links too."""
    try:
        declared = services.confirm_withdrawal(secret) if request.method == "POST" else withdrawal_of(secret)
    except NotFound:
        count_wrong_secret("link", place_of(request))
        raise
    held = declared.subscription
    assert held is not None
    shown = {
        "declared": declared,
        "held": held,
        "plan": held.plan,
        "was_ordered_only": held.state in (Subscription.State.ORDERED, Subscription.State.DROPPED),
        "data_until": held.organization.state_until,
    }
    page = "done" if declared.settled_at else "link"
    return render(request, f"withdrawal/{page}.html", shown)


urlpatterns: list[URLPattern] = [
    path("withdraw/", withdraw, name="withdraw"),
    path("withdraw/<str:secret>/", by_link, name="withdraw_by_link"),
]
