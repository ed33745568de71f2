"""Accounts: who they are, what protects them, and closing and reopening them."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.core.errors import NotFound, Refused
from cryocloud.web.operations.governing import close_account, reopen_account
from cryocloud.web.operations.registers import described, people_found
from cryocloud.web.pages.operator.door import operators_only

PER_PAGE = 50
KINDS = {"": "everybody", "operators": "operators", "closed": "closed accounts"}


@require_safe
@operators_only
def people(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    text, only = request.GET.get("q", "").strip()[:100], request.GET.get("state", "")
    page = Paginator(people_found(text, only=only), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "operator",
        "page": page,
        "people": described(list(page)),
        "text": text,
        "state": only,
        "kinds": KINDS.items(),
    }
    return render(request, "operations/people.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def account(request: HttpRequest, actor: Actor, person: str) -> HttpResponse:
    """Asks for the reason, then closes an open account or opens a closed one."""
    found = User.objects.filter(pk=person).first()
    if found is None:
        raise NotFound
    errors: dict[str, str] = {}
    reason = request.POST.get("reason", "")
    if request.method == "POST":
        try:
            _change(actor, found, request.POST.get("to", ""), reason)
        except Refused as refusal:
            errors = refusal.fields
        else:
            messages.success(
                request, f"The account of {found.email} is {'closed' if found.is_active else 'open again'}."
            )
            return redirect("operator_people")
    shown = {
        "section": "operator",
        "one": described([found])[0],
        "is_own": found.pk == actor.user.pk,
        "reason": reason,
        "errors": errors,
    }
    return render(request, "operations/account.html", shown, status=422 if errors else 200)


def _change(actor: Actor, person: User, to: str, reason: str) -> None:
    """By the wish on the form, not by the present state: a form that is sent twice undoes nothing."""
    match to:
        case "closed":
            close_account(actor=actor, person=person, reason=reason)
        case "open":
            reopen_account(actor=actor, person=person, reason=reason)
        case _:
            raise Refused("Choose whether the account is to be open or closed.")


urlpatterns: list[URLPattern] = [
    path("operator/people/", people, name="operator_people"),
    path("operator/people/<str:person>/", account, name="operator_account"),
]
