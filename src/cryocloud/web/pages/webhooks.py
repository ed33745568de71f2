"""The webhook of the current organization: for those who govern it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.notices import webhooks
from cryocloud.web.notices.outward import URL_LENGTH
from cryocloud.web.organizations import access
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.visitor import current_organization, members_only

CALLS_SHOWN = 20


class AddressForm(forms.Form):
    url = forms.CharField(
        label="Address",
        max_length=URL_LENGTH,
        widget=forms.URLInput({"placeholder": "https://example.org/hook", "autocomplete": "off"}),
        help_text="A server of yours that is called with a POST; https, and on the public internet.",
    )


@never_cache
@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The form, and what became of the last calls; a new secret is on the page that answers, and never again."""
    current = current_organization(request, actor)
    if request.method == "POST":
        access.require_governor(actor, current.pk, purpose=access.Purpose.ADD)
    found = webhooks.webhook_of(actor, current)
    form = AddressForm(request.POST or None, initial={"url": found.url if found else ""})
    secret = ""
    if form.is_valid():
        try:
            found, secret = webhooks.set_webhook(
                actor=actor, organization=current, url=form.cleaned_data["url"]
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            if not secret:
                messages.success(request, "The address is saved, and the webhook is on.")
                return redirect("webhook")
    return _show(request, actor, form, secret)


def _show(request: HttpRequest, actor: Actor, form: AddressForm, secret: str = "") -> HttpResponse:
    current = current_organization(request, actor)
    found = webhooks.webhook_of(actor, current)
    shown = {
        "section": "organization",
        "organization": current,
        "form": form,
        "webhook": found,
        "secret": secret,
        "calls": webhooks.calls_of(found)[:CALLS_SHOWN] if found else [],
    }
    return render(request, "organizations/webhook.html", shown, status=422 if form.errors else 200)


@require_POST
@members_only
def test(request: HttpRequest, actor: Actor) -> HttpResponse:
    found = webhooks.get_webhook(actor, current_organization(request, actor))
    try:
        webhooks.send_test(actor=actor, webhook=found)
    except Conflict as conflict:
        messages.warning(request, str(conflict))
    else:
        messages.success(
            request, "A test is on its way. Its answer stands below in a moment; load the page again."
        )
    return redirect("webhook")


@never_cache
@require_POST
@members_only
def renew_secret(request: HttpRequest, actor: Actor) -> HttpResponse:
    found = webhooks.get_webhook(actor, current_organization(request, actor))
    secret = webhooks.renew_secret(actor=actor, webhook=found)
    return _show(request, actor, AddressForm(initial={"url": found.url}), secret)


@require_POST
@members_only
def switch(request: HttpRequest, actor: Actor) -> HttpResponse:
    found = webhooks.get_webhook(actor, current_organization(request, actor))
    webhooks.switch_webhook(actor=actor, webhook=found, on=request.POST.get("on") == "yes")
    return redirect("webhook")


@require_POST
@members_only
def remove(request: HttpRequest, actor: Actor) -> HttpResponse:
    webhooks.remove_webhook(
        actor=actor, webhook=webhooks.get_webhook(actor, current_organization(request, actor))
    )
    messages.success(request, "The webhook is removed.")
    return redirect("organization")


urlpatterns: list[URLPattern] = [
    path("organization/webhook/", webhook, name="webhook"),
    path("organization/webhook/test/", test, name="test_webhook"),
    path("organization/webhook/secret/", renew_secret, name="renew_webhook_secret"),
    path("organization/webhook/switch/", switch, name="switch_webhook"),
    path("organization/webhook/remove/", remove, name="remove_webhook"),
]
