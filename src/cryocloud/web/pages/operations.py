"""Health, readiness, the first administrator's link, and the sample data."""

from __future__ import annotations

from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.guessing import count_wrong_secret, place_of
from cryocloud.web.core.errors import Conflict, NotFound, QuotaExceeded, Refused
from cryocloud.web.data.sample import use_sample_data
from cryocloud.web.operations.first_admin import check_first_link, create_first_operator
from cryocloud.web.operations.health import problems
from cryocloud.web.pages.visitor import current_organization, members_only
from cryocloud.web.runs.first_run import start_sample_run

FIELDS = ("name", "email", "password", "organization")
BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """The web process answers."""
    return JsonResponse({"status": "live"})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Everything that work needs is there."""
    found = problems()
    status = "not ready" if found else "ready"
    response = JsonResponse({"status": status, "problems": found}, status=503 if found else 200)
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django's mark; asked every few seconds
    return response


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def first_admin(request: HttpRequest, secret: str) -> HttpResponseBase:
    """A form for the first operator account, as long as the link is open."""
    try:
        check_first_link(secret)
    except NotFound:
        count_wrong_secret("link", place_of(request))
        raise
    given = {field: request.POST.get(field, "") for field in FIELDS}
    fields: dict[str, str] = {}
    if request.method == "POST":
        try:
            user = create_first_operator(
                secret=secret,
                name=given["name"],
                email=given["email"],
                password=given["password"],
                organization_name=given["organization"],
            )
        except Refused as refusal:
            fields = refusal.fields
        else:
            login(request, user, backend=BACKEND)
            reauthenticate_by_password(request)  # it was typed on this page
            return redirect("mfa_activate_totp")
    shown = {"given": given, "fields": fields}
    return render(request, "operations/first_admin.html", shown, status=422 if fields else 200)


@require_POST
@members_only
def use_sample(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Put the sample dataset beside the organization's own."""
    dataset = use_sample_data(actor=actor, organization=current_organization(request, actor))
    return redirect(f"/datasets/{dataset.pk}/")


@require_POST
@members_only
def run_sample(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """The whole way to a first map at one click."""
    organization = current_organization(request, actor)
    try:
        run = start_sample_run(actor=actor, organization=organization)
    except (Conflict, QuotaExceeded, Refused) as refusal:
        messages.warning(request, str(refusal))
        return redirect("dashboard")
    return redirect("run", run_id=run.pk)


urlpatterns: list[URLPattern] = [
    path("health/live", live, name="health_live"),
    path("health/ready", ready, name="health_ready"),
    path("first-admin/<str:secret>/", first_admin, name="first_admin"),
    path("sample-data/", use_sample, name="use_sample"),
    path("sample-data/run/", run_sample, name="run_sample"),
]
