"""Files that jobs left, their plots, and the previews that viewers read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from ninja import Field, Query, Router, Schema

from cryocloud.catalog.files import meaning_of
from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page
from cryocloud.web.api.credentials import actor
from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.ranged import ranged_response
from cryocloud.web.core.zip_stream import zip_response
from cryocloud.web.organizations import access
from cryocloud.web.organizations.watch import while_allowed
from cryocloud.web.projects.models import Project
from cryocloud.web.results.archives import project_archive, run_archive
from cryocloud.web.results.files import artifact_file, artifacts_of, marked_name, zip_members
from cryocloud.web.results.models import Artifact
from cryocloud.web.results.previews import preview_file
from cryocloud.web.results.viewers import plot_file, plots_of, preview_index
from cryocloud.web.runs.models import Attempt, Job, Run

router = Router(tags=["results"])


class ArtifactFacts(Schema):
    id: str
    job_id: str
    path: str = Field(description="Name inside the result folder")
    size_bytes: int
    sha256: str
    created_at: datetime
    meaning: str = Field(description="What the file is; empty if that is not known")
    download: str = Field(description="Address of its bytes, which understands ranges")

    @staticmethod
    def resolve_meaning(row: Artifact) -> str:
        return meaning_of(row.path)

    @staticmethod
    def resolve_download(row: Artifact) -> str:
        return f"/api/v1/artifacts/{row.pk}/content"


class Plot(Schema):
    name: str
    download: str


class Plots(Schema):
    items: list[Plot]


class Previews(Schema):
    """What the viewers show; empty while it is being prepared, and for jobs without anything to look at."""

    viewers: list[str] = Field(default_factory=list)
    index: dict[str, Any] = Field(default_factory=dict)


def _published(request: HttpRequest, job: Job) -> QuerySet[Artifact]:
    rows = access.visible(actor(request), Artifact)
    return rows.filter(job=job, attempt__state=Attempt.State.SUCCEEDED)


@router.get(
    "/jobs/{job_id}/artifacts", operation_id="list_artifacts", response={200: Page[ArtifactFacts], **ERRORS}
)
def list_artifacts(request: HttpRequest, job_id: str, query: Query[PageQuery]) -> dict[str, Any]:
    """The files that a job left."""
    return one_page(_published(request, access.get(actor(request), Job, job_id)), query)


@router.get("/artifacts/{artifact_id}", operation_id="get_artifact", response={200: ArtifactFacts, **ERRORS})
def get_artifact(request: HttpRequest, artifact_id: str) -> Artifact:
    """Name, size and checksum of a file."""
    return access.get(actor(request), Artifact, artifact_id)


@router.get(
    "/artifacts/{artifact_id}/content", operation_id="download_artifact", response={200: None, **ERRORS}
)
def download_artifact(request: HttpRequest, artifact_id: str) -> HttpResponseBase:
    """The bytes of a file: whole, or the one range that the header `Range` asks for."""
    caller = actor(request)
    row = access.get(caller, Artifact, artifact_id)
    sent = ranged_response(
        request, artifact_file(row), name=marked_name(row.job, row.path.rsplit("/", 1)[-1]), sha256=row.sha256
    )
    return while_allowed(request, caller, row.organization_id, sent)


@router.get("/jobs/{job_id}/archive", operation_id="download_job", response={200: None, **ERRORS})
def download_job(request: HttpRequest, job_id: str) -> HttpResponseBase:
    """All files of a job as one ZIP archive with a `SHA256SUMS`."""
    caller = actor(request)
    job = access.get(caller, Job, job_id)
    rows = [file.artifact for file in artifacts_of(job)]
    if not rows:
        raise NotFound
    sent = zip_response(
        request, zip_members(rows), name=marked_name(job, f"{job.number:03d} {job.job_type}.zip")
    )
    return while_allowed(request, caller, job.organization_id, sent)


@router.get("/runs/{run_id}/archive", operation_id="download_run", response={200: None, **ERRORS})
def download_run(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """All files of a run's jobs as one ZIP archive, a folder for each job, with a `SHA256SUMS`."""
    return run_archive(request, actor(request), access.get(actor(request), Run, run_id))


@router.get("/projects/{project_id}/archive", operation_id="download_project", response={200: None, **ERRORS})
def download_project(request: HttpRequest, project_id: str) -> HttpResponseBase:
    """All files of a project's jobs as one ZIP archive, a folder for each job, with a `SHA256SUMS`."""
    return project_archive(request, actor(request), access.get(actor(request), Project, project_id))


@router.get("/jobs/{job_id}/plots", operation_id="list_plots", response={200: Plots, **ERRORS})
def list_plots(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """The plots of a job, also while it runs."""
    links = plots_of(access.get(actor(request), Job, job_id))
    return {"items": [{"name": link.name, "download": f"/api/v1{link.url.rstrip('/')}"} for link in links]}


@router.get("/jobs/{job_id}/plots/{name}", operation_id="get_plot", response={200: None, **ERRORS})
def get_plot(request: HttpRequest, job_id: str, name: str) -> HttpResponseBase:
    """One plot as PNG."""
    caller = actor(request)
    job = access.get(caller, Job, job_id)
    found = plot_file(job, name)
    if found is None:
        raise NotFound
    sent = ranged_response(
        request, found, name=name, media_type="image/png", inline=True, below=found.parent.parent
    )
    return while_allowed(request, caller, job.organization_id, sent)


@router.get("/jobs/{job_id}/previews", operation_id="get_previews", response={200: Previews, **ERRORS})
def get_previews(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Curves, classes, orientations, micrographs and maps as the viewers read them."""
    index = preview_index(access.get(actor(request), Job, job_id))
    return {"viewers": index.get("viewers", []), "index": index}


@router.get("/jobs/{job_id}/previews/{name}", operation_id="get_preview", response={200: None, **ERRORS})
def get_preview(request: HttpRequest, job_id: str, name: str) -> HttpResponseBase:
    """One file that the previews name: a small map, a picture, or the picks of a micrograph."""
    caller = actor(request)
    job = access.get(caller, Job, job_id)
    found, media_type = preview_file(job, name)
    sent = ranged_response(request, found, name=name, media_type=media_type, inline=True)
    return while_allowed(request, caller, job.organization_id, sent)
