"""Looking at results: micrographs, classes, curves, orientations, slices, maps; files and downloads."""

from __future__ import annotations

import math
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound, Refused
from cryocloud.web.core.ranged import ranged_response
from cryocloud.web.core.zip_stream import zip_response
from cryocloud.web.organizations import access
from cryocloud.web.organizations.watch import while_allowed
from cryocloud.web.pages.visitor import members_only
from cryocloud.web.projects.models import Project
from cryocloud.web.results.archives import project_archive, run_archive
from cryocloud.web.results.by_hand import micrographs_of
from cryocloud.web.results.files import artifact_file, artifacts_of, marked_name, zip_members
from cryocloud.web.results.models import Artifact
from cryocloud.web.results.previews import chart_tables, orientation_rows, preview_file
from cryocloud.web.results.viewers import TITLES, plot_file, plots_of, preview_index, viewers_of
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.runs.references import parse_reference

FILES_SHOWN = 500
HISTORY_PLOT = "class_history"


@require_GET
@members_only
def look(request: HttpRequest, actor: Actor, job_id: str, viewer: str) -> HttpResponseBase:
    job = access.get(actor, Job, job_id)
    if viewer not in TITLES:
        raise NotFound
    index = preview_index(job)
    offered = viewers_of(job)
    context = _context(job) | {
        "viewer": viewer,
        "title": TITLES[viewer],
        "viewers": offered,
        "is_there": any(link.name == viewer for link in offered),
        "is_waiting": not index and job.state in Job.SUCCEEDED,
        "index": index,
        "problems": index.get("problems", [])[:20],
        "previews": f"/jobs/{job.pk}/previews/",
    }
    context |= _tables(job, viewer, index) | _editing(actor, job, viewer)
    return render(request, f"viewers/{viewer}.html", context)


def _tables(job: Job, viewer: str, index: dict[str, Any]) -> dict[str, Any]:
    if viewer == "curves":
        return {"charts": chart_tables(index)}
    if viewer == "orientations":
        bands = [
            band | {"from": _degrees(band["from"]), "to": _degrees(band["to"])}
            for band in orientation_rows(index)
        ]
        return {"bands": bands}
    if viewer == "classes":
        return {"history": next((one for one in plots_of(job) if one.name == HISTORY_PLOT), None)}
    if viewer in ("map", "slices"):
        return {"artifacts": {file.artifact.path: file.artifact for file in artifacts_of(job)}}
    return {}


def _editing(actor: Actor, job: Job, viewer: str) -> dict[str, Any]:
    """What of a result may be changed by hand into a new job."""
    may_edit = access.may_add(actor, job.organization_id) and not job.control
    editing: dict[str, Any] = {"may_edit": may_edit, "may_pick": may_edit and bool(micrographs_of(job))}
    if viewer == "curation" and job.job_type == "curate":
        before = parse_reference(str(job.inputs.get("input", "")))
        if before is not None and before.kind == "job":
            editing["made_from"] = access.visible(actor, Job).filter(pk=before.id).first()
    return editing


def _degrees(height: float) -> int:
    return round(math.degrees(math.acos(max(-1.0, min(1.0, height)))))


def _context(job: Job) -> dict[str, Any]:
    try:
        name = load_job_type(job.job_type).title
    except UnknownName:
        name = job.job_type
    return {
        "section": "projects",
        "job": job,
        "project": job.project,
        "job_title": f"{name}, job {job.number}",
    }


@require_GET
@members_only
def files(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponseBase:
    job = access.get(actor, Job, job_id)
    found = artifacts_of(job)
    context = _context(job) | {
        "files": found[:FILES_SHOWN],
        "more": max(0, len(found) - FILES_SHOWN),
        "count": len(found),
        "size_bytes": sum(file.artifact.size_bytes for file in found),
        "viewers": viewers_of(job),
    }
    return render(request, "viewers/files.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def download_files(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponseBase:
    """All files of a job as one archive; those that were ticked, if it is a form that asks."""
    job = access.get(actor, Job, job_id)
    rows = [file.artifact for file in artifacts_of(job)]
    if request.method == "POST":
        ticked = set(request.POST.getlist("file"))
        rows = [row for row in rows if row.pk in ticked]
    if not rows:
        raise Refused("No file was chosen. Tick the files that you want, or download all of them.")
    name = marked_name(job, f"{job.project.name} {job.number:03d} {job.job_type}.zip")
    return while_allowed(
        request, actor, job.organization_id, zip_response(request, zip_members(rows), name=name)
    )


@require_safe
@members_only
def download_run(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponseBase:
    """All files of a run's jobs as one archive."""
    return run_archive(request, actor, access.get(actor, Run, run_id))


@require_safe
@members_only
def download_project(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponseBase:
    """All files of a project's jobs as one archive."""
    return project_archive(request, actor, access.get(actor, Project, project_id))


@require_safe
@members_only
def download_artifact(request: HttpRequest, actor: Actor, artifact_id: str) -> HttpResponseBase:
    artifact = access.get(actor, Artifact, artifact_id)
    name = marked_name(artifact.job, artifact.path.rsplit("/", 1)[-1])
    sent = ranged_response(request, artifact_file(artifact), name=name, sha256=artifact.sha256)
    return while_allowed(request, actor, artifact.organization_id, sent)


@require_safe
@members_only
def plot(request: HttpRequest, actor: Actor, job_id: str, name: str) -> HttpResponseBase:
    job = access.get(actor, Job, job_id)
    found = plot_file(job, name)
    if found is None:
        raise NotFound
    sent = ranged_response(
        request, found, name=name, media_type="image/png", inline=True, below=found.parent.parent
    )
    return while_allowed(request, actor, job.organization_id, sent)


@require_safe
@members_only
def preview(request: HttpRequest, actor: Actor, job_id: str, name: str) -> HttpResponseBase:
    job = access.get(actor, Job, job_id)
    found, media_type = preview_file(job, name)
    sent = ranged_response(request, found, name=name, media_type=media_type, inline=True)
    return while_allowed(request, actor, job.organization_id, sent)


urlpatterns: list[URLPattern] = [
    path("jobs/<str:job_id>/look/<str:viewer>/", look, name="look"),
    path("jobs/<str:job_id>/files/", files, name="job_files"),
    path("jobs/<str:job_id>/files/download/", download_files, name="download_files"),
    path("runs/<str:run_id>/download/", download_run, name="download_run"),
    path("projects/<str:project_id>/download/", download_project, name="download_project"),
    path("jobs/<str:job_id>/plots/<str:name>/", plot, name="plot"),
    path("jobs/<str:job_id>/previews/<str:name>", preview, name="preview"),
    path("artifacts/<str:artifact_id>/download/", download_artifact, name="download_artifact"),
]
