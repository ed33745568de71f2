"""How mails are sent, and a test of it."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.configuration import configuration
from cryocloud.web.operations.mailing import kept_mails, send_test_mail
from cryocloud.web.pages.operator.door import operators_only

ENCRYPTIONS = {"smtps": "TLS from the start", "smtp+starttls": "STARTTLS"}


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def mail(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    if request.method == "POST":
        outcome = send_test_mail(actor=actor)
        say = messages.success if outcome.is_sent else messages.error
        say(request, f"{outcome.words} {outcome.remedy}".strip())
        return redirect("operator_mail")
    parts = urlsplit(configuration().smtp_url)
    shown = {
        "section": "operator",
        "kept": None if parts.hostname else kept_mails(),
        "server": f"{parts.hostname}:{parts.port or 25}" if parts.hostname else "",
        "encryption": ENCRYPTIONS.get(parts.scheme, "none"),
        "login": parts.username or "",
    }
    return render(request, "operations/mail.html", shown)


urlpatterns: list[URLPattern] = [path("operator/mail/", mail, name="operator_mail")]
