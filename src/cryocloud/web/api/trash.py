"""Deleting projects, runs and jobs, and the trash that holds them for 7 days."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page, written_out
from cryocloud.web.api.credentials import actor
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.trash import services
from cryocloud.web.trash.consequences import Target, consequences_of
from cryocloud.web.trash.models import Deletion

router = Router(tags=["trash"])


class DeletedOut(Schema):
    """What went to the trash at once, and comes back at once."""

    id: str
    organization_id: str
    kind: Annotated[Deletion.Kind, written_out(Deletion.Kind)]
    target_id: str = Field(
        description="The project, run or job that was deleted, or the dataset or job whose files were"
    )
    project_id: str = Field(description="Empty for files of a dataset")
    title: str
    jobs: int
    files: int
    size_bytes: int
    created_at: datetime
    due_at: datetime = Field(description="Then it is deleted for good")
    is_being_deleted: bool

    @staticmethod
    def resolve_due_at(row: Deletion) -> datetime:
        return services.due_at(row)

    @staticmethod
    def resolve_is_being_deleted(row: Deletion) -> bool:
        return row.purge_ordered_at is not None


class ConsequencesOut(Schema):
    """What deletion would take along."""

    jobs: list[str] = Field(description="Ids of the jobs that go in any case")
    further: list[str] = Field(description="Ids of jobs made from their results; they go only with `along`")
    busy: list[str] = Field(description="What has not ended and must be cancelled first")
    runs: int
    files: int
    size_bytes: int


class TrashIn(Schema):
    along: bool = Field(False, description="Also delete the jobs that others made from these results")


def _preview(target: Target) -> dict[str, Any]:
    going = consequences_of(target)
    return {
        "jobs": [job.pk for job in going.jobs],
        "further": [job.pk for job in going.further],
        "busy": going.busy,
        "runs": going.runs,
        "files": going.files,
        "size_bytes": going.size_bytes,
    }


@router.get(
    "/projects/{project_id}/deletion",
    response={200: ConsequencesOut, **ERRORS},
    operation_id="preview_project_deletion",
)
def preview_project_deletion(request: HttpRequest, project_id: str) -> dict[str, Any]:
    """What deletion would take along; changes nothing."""
    return _preview(access.get(actor(request), Project, project_id))


@router.post(
    "/projects/{project_id}/trash", response={200: DeletedOut, **ERRORS}, operation_id="trash_project"
)
def trash_project(request: HttpRequest, project_id: str) -> Deletion:
    """Move a project with its runs and jobs to the trash, from where it is deleted after 7 days."""
    caller = actor(request)
    project = access.get(caller, Project, project_id, needs=Role.ADMIN, purpose=access.Purpose.READ)
    return services.move_to_trash(actor=caller, target=project)


@router.get(
    "/runs/{run_id}/deletion", response={200: ConsequencesOut, **ERRORS}, operation_id="preview_run_deletion"
)
def preview_run_deletion(request: HttpRequest, run_id: str) -> dict[str, Any]:
    """What deletion would take along; changes nothing."""
    return _preview(access.get(actor(request), Run, run_id))


@router.post("/runs/{run_id}/trash", response={200: DeletedOut, **ERRORS}, operation_id="trash_run")
def trash_run(request: HttpRequest, run_id: str, body: TrashIn) -> Deletion:
    """Move a run with its jobs to the trash, from where it is deleted after 7 days."""
    caller = actor(request)
    run = access.get(caller, Run, run_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    return services.move_to_trash(actor=caller, target=run, along=body.along)


@router.get(
    "/jobs/{job_id}/deletion", response={200: ConsequencesOut, **ERRORS}, operation_id="preview_job_deletion"
)
def preview_job_deletion(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """What deletion would take along; changes nothing."""
    return _preview(access.get(actor(request), Job, job_id))


@router.post("/jobs/{job_id}/trash", response={200: DeletedOut, **ERRORS}, operation_id="trash_job")
def trash_job(request: HttpRequest, job_id: str, body: TrashIn) -> Deletion:
    """Move a job to the trash, from where it is deleted after 7 days."""
    caller = actor(request)
    job = access.get(caller, Job, job_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    return services.move_to_trash(actor=caller, target=job, along=body.along)


@router.post("/jobs/{job_id}/free", response={200: DeletedOut, **ERRORS}, operation_id="free_space")
def free_space(request: HttpRequest, job_id: str) -> Deletion:
    """Move the large files of a job, which `clone_job` can make again, to the trash; all else of it stays."""
    caller = actor(request)
    job = access.get(caller, Job, job_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    return services.free_space(actor=caller, job=job)


@router.get(
    "/organizations/{organization_id}/trash",
    response={200: Page[DeletedOut], **ERRORS},
    operation_id="list_trash",
)
def list_trash(request: HttpRequest, organization_id: str, query: Query[PageQuery]) -> dict[str, Any]:
    """Projects, runs, jobs and files in the trash, the last deleted first; datasets: `list_datasets` with `trashed`."""
    caller = actor(request)
    organization = access.get_organization(caller, organization_id)
    return one_page(access.within(caller, Deletion, organization), query)


@router.post("/trash/{deletion_id}/restore", response={204: None, **ERRORS}, operation_id="restore_deletion")
def restore_deletion(request: HttpRequest, deletion_id: str) -> Status[None]:
    """Bring back all that went to the trash at once."""
    caller = actor(request)
    deletion = access.get(caller, Deletion, deletion_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    services.restore_deletion(actor=caller, deletion=deletion)
    return Status(204, None)


@router.delete("/trash/{deletion_id}", response={202: None, **ERRORS}, operation_id="purge_deletion")
def purge_deletion(request: HttpRequest, deletion_id: str) -> Status[None]:
    """Delete it for good now; its bytes are gone within minutes and cannot be restored."""
    caller = actor(request)
    deletion = access.get(caller, Deletion, deletion_id, needs=Role.ADMIN, purpose=access.Purpose.READ)
    services.purge_deletion(actor=caller, deletion=deletion)
    return Status(202, None)
