"""Deleting datasets: what would go, the trash, and the way back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict
from cryocloud.web.data import services
from cryocloud.web.data.models import Dataset
from cryocloud.web.organizations.access import get, role_in, within
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.visitor import current_organization, members_only

JOBS_SHOWN = 20


@require_GET
@members_only
def trash(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(actor)
    trashed = within(actor, Dataset, organization).exclude(trashed_at=None).order_by("-trashed_at")
    rows = [(one, services.contents_of(one), services.purge_due_at(one)) for one in trashed[:200]]
    role = role_in(actor, organization.id)
    context = {
        "section": "datasets",
        "rows": rows,
        "days": services.TRASH_KEPT.days,
        "may_edit": role is not None and role >= Role.EDITOR,
        "may_purge": role is not None and role >= Role.ADMIN,
    }
    return render(request, "datasets/trash.html", context)


@require_http_methods(["GET", "POST"])
@members_only
def delete(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR)
    if request.method == "POST":
        services.trash_dataset(actor=actor, dataset=dataset)
        messages.success(
            request,
            f"“{dataset.name}” is in the trash for {services.TRASH_KEPT.days} days. Nothing is lost yet.",
        )
        return redirect("dataset_trash")
    uses = services.jobs_using(dataset)
    context = {
        "section": "datasets",
        "dataset": dataset,
        "contents": services.contents_of(dataset),
        "active": [use for use in uses if use.is_active],
        "ended": [use for use in uses if not use.is_active],
        "jobs_shown": JOBS_SHOWN,
        "days": services.TRASH_KEPT.days,
    }
    return render(request, "datasets/delete.html", context)


@require_POST
@members_only
def restore(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR)
    services.restore_dataset(actor=actor, dataset=dataset)
    messages.success(request, f"“{dataset.name}” is back.")
    return redirect("dataset", dataset_id=dataset.pk)


@require_http_methods(["GET", "POST"])
@members_only
def purge(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.ADMIN)
    if request.method == "GET":
        context = {
            "section": "datasets",
            "dataset": dataset,
            "contents": services.contents_of(dataset),
            "active": [use for use in services.jobs_using(dataset) if use.is_active],
        }
        return render(request, "datasets/purge.html", context)
    try:
        services.purge_dataset(actor=actor, dataset=dataset)
    except Conflict as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"“{dataset.name}” is being deleted for good.")
    return redirect("dataset_trash")
