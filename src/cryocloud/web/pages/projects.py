"""Dashboard, projects and their job graph."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Refused
from cryocloud.web.data.sample import sample_files
from cryocloud.web.notices.services import project_choice
from cryocloud.web.organizations.access import get, may_add, require_role, role_in
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages import dashboard as numbers
from cryocloud.web.pages.gauges import compute_gauge, storage_gauges
from cryocloud.web.pages.in_trash import or_in_trash
from cryocloud.web.pages.job_graph import SLIM, WIDE, draw, graph_of
from cryocloud.web.pages.job_words import key_number, sources_of
from cryocloud.web.pages.standing import shown_standing
from cryocloud.web.pages.visitor import current_organization, members_only
from cryocloud.web.projects import services
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import artifacts_in, size_of
from cryocloud.web.runs.models import Job
from cryocloud.web.runs.state_words import STANDINGS, STATE_WORDS

JOBS_PER_PAGE = 50
GRAPH_JOBS_MAX = 120
RUNS_SHOWN = 12


def page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1


@require_GET
@members_only
def dashboard(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(request, actor)
    archived = request.GET.get("archived") == "yes"
    shown = numbers.project_page(
        actor,
        organization,
        number=page_number(request),
        text=request.GET.get("q", "").strip()[:100],
        archived=archived,
    )
    jobs, active = numbers.active_jobs(actor, organization)
    compute, (storage, files) = compute_gauge(organization), storage_gauges(organization)
    context = {
        "section": "dashboard",
        "shown": shown,
        "archived": archived,
        "is_first_visit": not shown.total and not shown.text and not archived,
        "jobs": jobs,
        "active": active,
        "compute": compute,
        "storage": storage,
        "shortages": [one.warning for one in (compute, storage, files) if one.warning],
        "now": shown_standing(organization),
        "may_edit": may_add(actor, organization.id),
    }
    if context["is_first_visit"]:
        context["sample"] = numbers.sample_dataset(actor, organization)
        context["offers_sample"] = bool(sample_files())
    return render(request, "projects/dashboard.html", context)


@require_GET
@members_only
def active_jobs(request: HttpRequest, actor: Actor) -> HttpResponse:
    jobs, active = numbers.active_jobs(actor, current_organization(request, actor))
    return render(request, "projects/active_jobs.html", {"jobs": jobs, "active": active})


@require_http_methods(["GET", "POST"])
@members_only
def new_project(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(request, actor)
    require_role(actor, organization.id, Role.EDITOR)
    errors: dict[str, str] = {}
    if request.method == "POST":
        try:
            made = services.create_project(
                actor=actor,
                organization=organization,
                name=request.POST.get("name", ""),
                description=request.POST.get("description", ""),
            )
        except Refused as refusal:
            errors = refusal.fields
        else:
            return redirect("project", project_id=made.pk)
    return _project_form(request, errors=errors)


@require_http_methods(["GET", "POST"])
@members_only
def edit_project(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    project = get(actor, Project, project_id, needs=Role.EDITOR)
    errors: dict[str, str] = {}
    if request.method == "POST":
        name, description = request.POST.get("name", ""), request.POST.get("description", "")
        try:
            services.update_project(actor=actor, project=project, name=name, description=description)
        except Refused as refusal:
            errors = refusal.fields
            project.refresh_from_db()
        else:
            messages.success(request, "The project has been changed.")
            return redirect("project", project_id=project.pk)
    return _project_form(request, errors=errors, project=project)


def _project_form(
    request: HttpRequest, *, errors: dict[str, str], project: Project | None = None
) -> HttpResponse:
    context = {
        "section": "dashboard",
        "project": project,
        "errors": errors,
        "name": request.POST.get("name", project.name if project else ""),
        "description": request.POST.get("description", project.description if project else ""),
    }
    return render(request, "projects/project_form.html", context, status=422 if errors else 200)


@require_POST
@members_only
def archive_project(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    project = get(actor, Project, project_id, needs=Role.ADMIN)
    services.archive_project(actor=actor, project=project)
    messages.success(request, f"“{project.name}” is archived. Nothing was deleted; you can restore it.")
    return redirect("dashboard")


@require_POST
@members_only
def restore_project(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    project = get(actor, Project, project_id, needs=Role.ADMIN)
    services.restore_project(actor=actor, project=project)
    return redirect("project", project_id=project.pk)


@require_GET
@members_only
@or_in_trash(Project)
def project(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    found = get(actor, Project, project_id)
    context = _work_of(request, actor, found) | {
        "section": "dashboard",
        "files_bytes": size_of(artifacts_in(found.jobs.all())),
        "hears": project_choice(actor, found),
    }
    return render(request, "projects/project.html", context)


@require_GET
@members_only
def project_work(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    """The part of the project's page that changes while jobs run."""
    found = get(actor, Project, project_id)
    return render(request, "projects/project_work.html", _work_of(request, actor, found))


def _work_of(request: HttpRequest, actor: Actor, found: Project) -> dict[str, Any]:
    rows = found.jobs.order_by("-number")
    drawn = list(rows[:GRAPH_JOBS_MAX])
    nodes, links = graph_of(drawn, sources_of(actor, drawn))
    listed: Page[Job] = Paginator(rows.select_related("run"), JOBS_PER_PAGE).get_page(page_number(request))
    role = role_in(actor, found.organization_id) or 0
    adds = may_add(actor, found.organization_id)
    return {
        "project": found,
        "may_edit": adds and found.archived_at is None,
        "may_archive": adds and role >= Role.ADMIN,
        "may_delete": role >= Role.ADMIN,
        "runs": found.runs.order_by("-number")[:RUNS_SHOWN],
        "jobs": [(job, key_number(job)) for job in listed],
        "job_page": listed,
        "state_words": [STATE_WORDS[state] for state in STANDINGS],
        "job_count": listed.paginator.count,
        "graph_left_out": max(0, listed.paginator.count - GRAPH_JOBS_MAX),
        "wide": draw(nodes, links, WIDE),
        "slim": draw(nodes, links, SLIM),
    }


urlpatterns: list[URLPattern] = [
    path("dashboard/", dashboard, name="dashboard"),
    path("dashboard/active/", active_jobs, name="active_jobs"),
    path("projects/new/", new_project, name="new_project"),
    path("projects/<str:project_id>/", project, name="project"),
    path("projects/<str:project_id>/work/", project_work, name="project_work"),
    path("projects/<str:project_id>/edit/", edit_project, name="edit_project"),
    path("projects/<str:project_id>/archive/", archive_project, name="archive_project"),
    path("projects/<str:project_id>/restore/", restore_project, name="restore_project"),
]
