"""Deleting projects, runs and jobs: what would go, the trash, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict, QuotaExceeded, Refused
from cryocloud.web.data.models import Dataset
from cryocloud.web.data.services import TRASH_KEPT, contents_of, purge_due_at
from cryocloud.web.organizations.access import Purpose, get, role_in, within
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.pages.visitor import current_organization, members_only
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.services import clone_job
from cryocloud.web.trash import services
from cryocloud.web.trash.consequences import Target, consequences_of, project_of, title_of
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.space import require_freeable

ROWS_SHOWN = 200
JOBS_SHOWN = 20
_PAGES: dict[str, str] = {Deletion.Kind.FILES: "dataset", Deletion.Kind.SPACE: "job"}


@dataclass(frozen=True)
class TrashLine:
    """One thing in the trash, whatever its kind."""

    title: str
    note: str
    trashed_at: datetime
    due_at: datetime | None
    size_bytes: int
    is_ordered: bool
    restore_url: str
    purge_url: str
    needs: Role


@require_GET
@members_only
def trash(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(request, actor)
    lines = [*_deletion_lines(actor, organization), *_dataset_lines(actor, organization)]
    role = role_in(actor, organization.id) or Role.VIEWER
    context = {
        "section": "organization",
        "lines": [
            (line, role >= line.needs) for line in sorted(lines, key=lambda one: one.trashed_at, reverse=True)
        ],
        "size_bytes": sum(line.size_bytes for line in lines),
        "days": TRASH_KEPT.days,
        "may_purge": role >= Role.ADMIN,
    }
    return render(request, "trash/trash.html", context)


def _deletion_lines(actor: Actor, organization: Organization) -> list[TrashLine]:
    rows = within(actor, Deletion, organization).order_by("-created_at", "-pk")[:ROWS_SHOWN]
    return [
        TrashLine(
            title=row.title,
            note=_note(row),
            trashed_at=row.created_at,
            due_at=services.due_at(row),
            size_bytes=row.size_bytes,
            is_ordered=row.purge_ordered_at is not None,
            restore_url=reverse("restore_deletion", args=[row.pk]),
            purge_url=reverse("purge_deletion", args=[row.pk]),
            needs=services.needed_role(row.kind),
        )
        for row in rows
    ]


def _note(row: Deletion) -> str:
    match row.kind:
        case Deletion.Kind.PROJECT:
            return f"Project with {_count(row.jobs, 'job')}"
        case Deletion.Kind.FILES:
            return f"{_count(row.files, 'file')} of the dataset {row.place}"
        case Deletion.Kind.SPACE:
            return (
                f"{_count(row.files, 'large file')} of the project {row.place}; all else of the job is kept"
            )
        case _:
            return f"{_count(row.jobs, 'job')} of the project {row.place}"


def _dataset_lines(actor: Actor, organization: Organization) -> list[TrashLine]:
    rows = within(actor, Dataset, organization).exclude(trashed_at=None).order_by("-trashed_at", "-pk")
    lines = []
    for row in rows[:ROWS_SHOWN]:
        contents = contents_of(row)
        lines.append(
            TrashLine(
                title=row.name,
                note=f"Dataset of {_count(contents.files, 'file')}",
                trashed_at=row.trashed_at or row.created_at,
                due_at=purge_due_at(row),
                size_bytes=contents.size_bytes,
                is_ordered=row.purge_ordered_at is not None,
                restore_url=reverse("restore_dataset", args=[row.pk]),
                purge_url=reverse("purge_dataset", args=[row.pk]),
                needs=Role.EDITOR,
            )
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@require_http_methods(["GET", "POST"])
@members_only
def delete_project(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    return _delete(request, actor, get(actor, Project, project_id, needs=Role.ADMIN, purpose=Purpose.READ))


@require_http_methods(["GET", "POST"])
@members_only
def delete_run(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponse:
    return _delete(request, actor, get(actor, Run, run_id, needs=Role.EDITOR, purpose=Purpose.READ))


@require_http_methods(["GET", "POST"])
@members_only
def delete_job(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    return _delete(request, actor, get(actor, Job, job_id, needs=Role.EDITOR, purpose=Purpose.READ))


def _delete(request: HttpRequest, actor: Actor, target: Target) -> HttpResponse:
    """What would go, and by POST the way to the trash; a refusal stands on the page that asked."""
    refusal, along = "", request.POST.get("along") == "yes"
    if request.method == "POST":
        try:
            deletion = services.move_to_trash(actor=actor, target=target, along=along)
        except Conflict as error:
            refusal = str(error)
        else:
            messages.success(
                request,
                f"“{deletion.title}” is in the trash for {TRASH_KEPT.days} days. Nothing is lost yet.",
            )
            return redirect("trash")
    going = consequences_of(target)
    context = {
        "section": "dashboard",
        "project": project_of(target),
        "is_project": isinstance(target, Project),
        "back": reverse(str(target._meta.model_name), args=[target.pk]),
        "title": title_of(target),
        "going": going,
        "job_count": len(going.jobs),
        "further": going.further[:JOBS_SHOWN],
        "further_left": max(0, len(going.further) - JOBS_SHOWN),
        "refusal": refusal,
        "along": along,
        "days": TRASH_KEPT.days,
    }
    return render(request, "trash/delete.html", context, status=409 if refusal else 200)


@require_http_methods(["GET", "POST"])
@members_only
def free_space(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    """The large files of a job that it can make again: what would go, at what cost, then the way to the trash."""
    job = get(actor, Job, job_id, needs=Role.EDITOR, purpose=Purpose.READ)
    files, refusal = services.rebuildable_files(job), ""
    try:
        if request.method == "POST":
            services.free_space(actor=actor, job=job)
            messages.success(
                request,
                f"The space is freed in {TRASH_KEPT.days} days; until then the images can be restored.",
            )
            return redirect("job", job_id=job.pk)
        require_freeable(job, files)
    except Conflict as error:
        refusal = str(error)
    spent = (
        within(actor, Attempt, job.organization)
        .filter(job=job)
        .aggregate(wall=Sum("wall_s"), cpu=Sum("cpu_s"))
    )
    context = {
        "section": "dashboard",
        "project": job.project,
        "job": job,
        "files": files,
        "size_bytes": sum(file.size_bytes for file in files),
        "wall_s": spent["wall"],
        "cpu_s": spent["cpu"],
        "refusal": refusal,
        "days": TRASH_KEPT.days,
    }
    return render(request, "trash/free.html", context, status=409 if request.method == "POST" else 200)


@require_POST
@members_only
def compute_again(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    """A new job with the same parameters, inputs and seed."""
    job = get(actor, Job, job_id, needs=Role.EDITOR)
    try:
        made = clone_job(actor=actor, job=job, parameters={}, inputs={}, seed=None)
    except (Refused, Conflict, QuotaExceeded) as refusal:
        messages.error(request, str(refusal))
        return redirect("job", job_id=job.pk)
    messages.success(request, f"Job {made.number} computes what job {job.number} had made.")
    return redirect("job", job_id=made.pk)


@require_POST
@members_only
def restore_deletion(request: HttpRequest, actor: Actor, deletion_id: str) -> HttpResponse:
    deletion = get(actor, Deletion, deletion_id, needs=Role.EDITOR, purpose=Purpose.READ)
    try:
        services.restore_deletion(actor=actor, deletion=deletion)
    except Conflict as error:
        messages.error(request, str(error))
        return redirect("trash")
    messages.success(request, f"“{deletion.title}” is back.")
    return redirect(reverse(_PAGES.get(deletion.kind, deletion.kind), args=[deletion.target_id]))


@require_http_methods(["GET", "POST"])
@members_only
def purge_deletion(request: HttpRequest, actor: Actor, deletion_id: str) -> HttpResponse:
    deletion = get(actor, Deletion, deletion_id, needs=Role.ADMIN, purpose=Purpose.READ)
    if request.method == "GET":
        context = {
            "section": "organization",
            "deletion": deletion,
            "within": services.deletions_within(deletion),
            "is_project": deletion.kind == Deletion.Kind.PROJECT,
        }
        return render(request, "trash/purge.html", context)
    services.purge_deletion(actor=actor, deletion=deletion)
    messages.success(request, f"“{deletion.title}” is being deleted for good.")
    return redirect("trash")


urlpatterns: list[URLPattern] = [
    path("trash/", trash, name="trash"),
    path("trash/<str:deletion_id>/restore/", restore_deletion, name="restore_deletion"),
    path("trash/<str:deletion_id>/purge/", purge_deletion, name="purge_deletion"),
    path("projects/<str:project_id>/delete/", delete_project, name="delete_project"),
    path("runs/<str:run_id>/delete/", delete_run, name="delete_run"),
    path("jobs/<str:job_id>/free/", free_space, name="free_space"),
    path("jobs/<str:job_id>/again/", compute_again, name="compute_again"),
    path("jobs/<str:job_id>/delete/", delete_job, name="delete_job"),
]
