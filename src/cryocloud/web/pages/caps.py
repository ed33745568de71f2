"""Compute caps of projects and runs, as their pages show and change them."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.money import spoken
from cryocloud.web.core.errors import Refused
from cryocloud.web.metering.caps import FIELD, cap_of_text, hours_text
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.metering.services import billed_and_running_s
from cryocloud.web.organizations.access import get
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.templatetags.wording import duration
from cryocloud.web.pages.visitor import members_only
from cryocloud.web.projects.models import Project
from cryocloud.web.projects.services import cap_project
from cryocloud.web.runs.models import Run
from cryocloud.web.runs.quotes import price_cents
from cryocloud.web.runs.services import cap_run


@dataclass(frozen=True)
class CapWords:
    """What was used of a cap; ``cap`` is empty without one, ``price`` where compute has no price."""

    used: str
    cap: str
    price: str
    share: float


def cap_words(capped: Project | Run) -> CapWords:
    of = {"project_id" if isinstance(capped, Project) else "run_id": capped.pk}
    used_s, cap_s = billed_and_running_s(capped.organization_id, **of), capped.compute_cap_s
    rate = compute_limit(capped.organization).cents_an_hour
    return CapWords(
        used=duration(used_s),
        cap="" if cap_s is None else duration(cap_s),
        price="" if cap_s is None or rate is None else spoken(price_cents(cap_s, rate)),
        share=1.0 if not cap_s else min(1.0, used_s / cap_s),
    )


@require_http_methods(["GET", "POST"])
@members_only
def project_cap(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    return _page(request, actor, get(actor, Project, project_id, needs=Role.ADMIN))


@require_http_methods(["GET", "POST"])
@members_only
def run_cap(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponse:
    return _page(request, actor, get(actor, Run, run_id, needs=Role.EDITOR))


def _page(request: HttpRequest, actor: Actor, capped: Project | Run) -> HttpResponse:
    typed, errors = request.POST.get(FIELD, hours_text(capped.compute_cap_s)), {}
    if request.method == "POST":
        try:
            cap_s = cap_of_text(typed)
        except Refused as refused:
            errors = refused.fields
        else:
            return _capped(request, actor, capped, cap_s)
    context = {
        "section": "dashboard",
        "project": capped if isinstance(capped, Project) else capped.project,
        "run": capped if isinstance(capped, Run) else None,
        "typed": typed,
        "error": errors.get(FIELD, ""),
        "words": cap_words(capped),
        "rate": _rate_words(capped),
    }
    return render(request, "runs/cap.html", context, status=422 if errors else 200)


def _rate_words(capped: Project | Run) -> str:
    rate = compute_limit(capped.organization).cents_an_hour
    return "" if rate is None else spoken(rate)


def _capped(request: HttpRequest, actor: Actor, capped: Project | Run, cap_s: int | None) -> HttpResponse:
    if isinstance(capped, Project):
        cap_project(actor=actor, project=capped, compute_cap_s=cap_s)
    else:
        cap_run(actor=actor, run=capped, compute_cap_s=cap_s)
    said = "There is no cap any more." if cap_s is None else f"The cap is {duration(cap_s)} of compute now."
    messages.success(request, f"{said} What was paused by it goes on by itself.")
    if isinstance(capped, Project):
        return redirect("project", project_id=capped.pk)
    return redirect("run", run_id=capped.pk)


urlpatterns: list[URLPattern] = [
    path("projects/<str:project_id>/cap/", project_cap, name="project_cap"),
    path("runs/<str:run_id>/cap/", run_cap, name="run_cap"),
]
