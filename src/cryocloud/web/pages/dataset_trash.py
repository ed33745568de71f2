"""Deleting datasets: what would go, and the way back from the trash."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict
from cryocloud.web.data import services
from cryocloud.web.data.models import Dataset
from cryocloud.web.organizations.access import Purpose, get
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.visitor import members_only
from cryocloud.web.trash.files import chosen_files, jobs_using_files, move_files_to_trash

JOBS_SHOWN = 20


@require_http_methods(["GET", "POST"])
@members_only
def delete(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR, purpose=Purpose.READ)
    if request.method == "POST":
        services.trash_dataset(actor=actor, dataset=dataset)
        messages.success(
            request,
            f"“{dataset.name}” is in the trash for {services.TRASH_KEPT.days} days. Nothing is lost yet.",
        )
        return redirect("trash")
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
def delete_files(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    """The files that were ticked: first what would go, then, confirmed, the way to the trash."""
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR, purpose=Purpose.READ)
    ids = request.POST.getlist("file")
    refusal = ""
    if request.POST.get("confirmed"):
        try:
            deletion = move_files_to_trash(actor=actor, dataset=dataset, file_ids=ids)
        except Conflict as error:
            refusal = str(error)
        else:
            messages.success(
                request,
                f"“{deletion.title}” {'is' if deletion.files == 1 else 'are'} in the trash for "
                f"{services.TRASH_KEPT.days} days. Nothing is lost yet.",
            )
            return redirect("dataset", dataset_id=dataset.pk)
    files = chosen_files(dataset, ids)
    uses = jobs_using_files(dataset, files)
    context = {
        "section": "datasets",
        "dataset": dataset,
        "files": files,
        "size_bytes": sum(file.stored.size_bytes for file in files),
        "active": [use for use in uses if use.is_active],
        "ended": [use for use in uses if not use.is_active],
        "refusal": refusal,
        "shown": JOBS_SHOWN,
        "days": services.TRASH_KEPT.days,
    }
    return render(request, "datasets/delete_files.html", context, status=409 if refusal else 200)


@require_POST
@members_only
def restore(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.EDITOR, purpose=Purpose.READ)
    services.restore_dataset(actor=actor, dataset=dataset)
    messages.success(request, f"“{dataset.name}” is back.")
    return redirect("dataset", dataset_id=dataset.pk)


@require_http_methods(["GET", "POST"])
@members_only
def purge(request: HttpRequest, actor: Actor, dataset_id: str) -> HttpResponse:
    dataset = get(actor, Dataset, dataset_id, needs=Role.ADMIN, purpose=Purpose.READ)
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
    return redirect("trash")
