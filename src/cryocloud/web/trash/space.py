"""Freeing the space of a job: its large files go, what tells how to make them again stays."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F, QuerySet

from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.results.files import artifact_file
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.trash.consequences import consequences_of, title_of
from cryocloud.web.trash.models import Deletion

ARTIFACTS_AT_ONCE = 200


def rebuildable_files(job: Job) -> list[Artifact]:
    """The large files that the job can make again, as the catalog names them; tables, plots and records stay."""
    try:
        names = load_job_type(job.job_type).rebuildable
    except UnknownName:
        return []
    rows = Artifact.unscoped.filter(job=job, attempt__state=Attempt.State.SUCCEEDED, path__in=names)
    return list(rows.order_by("path"))


def require_freeable(job: Job, files: Sequence[Artifact]) -> None:
    """Raise with the reason, unless the space of the job may be freed now."""
    if job.freed_at is not None:
        raise Conflict(f"The space of job {job.number} has been freed already.")
    if job.state not in Job.SUCCEEDED or not files:
        raise Conflict(f"Job {job.number} holds no large files that could be made again.")
    consequences_of(job).require_possible(along=True)


def free_space(*, actor: Actor, job: Job) -> Deletion:
    """Move the large files of a job to the trash; its parameters, inputs, numbers, plots and tables stay."""
    access.require_role(actor, job.organization_id, Role.EDITOR, access.Purpose.READ)
    with transaction.atomic():
        current = Job.unscoped.select_for_update(no_key=True).filter(pk=job.pk).first()
        if current is None:
            raise Conflict(f"Job {job.number} is in the trash.")
        files = rebuildable_files(current)
        require_freeable(current, files)
        deletion = Deletion.unscoped.create(
            organization_id=current.organization_id,
            kind=Deletion.Kind.SPACE,
            target_id=current.pk,
            project_id=current.project_id,
            title=f"Images of job {title_of(current).removeprefix('Job ')}"[:200],
            place=current.project.name,
            jobs=0,
            files=len(files),
            size_bytes=sum(file.size_bytes for file in files),
            created_by_id=actor.user.pk,
        )
        Artifact.unscoped.filter(pk__in=[file.pk for file in files]).update(deletion_id=deletion.pk)
        Job.unscoped.filter(pk=current.pk).update(freed_at=now(), freed_bytes=deletion.size_bytes)
    return deletion


def restore_space(deletion: Deletion) -> None:
    """In the transaction that ends the deletion."""
    if not Job.unscoped.filter(pk=deletion.target_id).update(freed_at=None, freed_bytes=0):
        raise Conflict("The job itself is in the trash; restore that first.")
    Artifact.with_trash.filter(deletion_id=deletion.pk).update(deletion_id="")


def remove_artifacts(artifacts: QuerySet[Artifact]) -> None:
    """Bytes first, then rows; in a restored database the job may not know yet that its space was freed."""
    while portion := list(artifacts.order_by("pk")[:ARTIFACTS_AT_ONCE]):
        for artifact in portion:
            artifact_file(artifact).unlink(missing_ok=True)
        with transaction.atomic():
            for artifact in portion:
                if not artifact.deletion_id:
                    freed = Job.with_trash.filter(pk=artifact.job_id)
                    freed.update(freed_at=now(), freed_bytes=F("freed_bytes") + artifact.size_bytes)
            Artifact.with_trash.filter(pk__in=[artifact.pk for artifact in portion]).delete()
