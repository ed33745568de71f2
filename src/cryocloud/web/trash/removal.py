"""Taking the bytes and the rows of projects, runs and jobs away for good. What was used stays: that is billing's."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, Q, QuerySet

from cryocloud.compute.foreign import remove_tree
from cryocloud.web.core import places
from cryocloud.web.data.models import DatasetFile
from cryocloud.web.edits.models import Draft, KeptEdits
from cryocloud.web.metering.models import Reservation
from cryocloud.web.notices.models import Occasion
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import preview_folder_of
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.references import parse_reference
from cryocloud.web.trash.files import remove_files
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.space import remove_artifacts

JOBS_AT_ONCE = 20


def remove_project(project_id: str) -> None:
    _remove_jobs(Job.with_trash.filter(project_id=project_id))
    with transaction.atomic():
        Run.with_trash.filter(project_id=project_id).delete()
        Project.with_trash.filter(pk=project_id).delete()
        Deletion.unscoped.filter(project_id=project_id).delete()


def remove_run(run_id: str) -> None:
    _remove_jobs(Job.with_trash.filter(run_id=run_id))
    with transaction.atomic():
        Occasion.with_trash.filter(subject_id=run_id).delete()
        Run.with_trash.filter(pk=run_id).delete()
        Deletion.unscoped.filter(target_id=run_id).delete()


def remove_job(job_id: str) -> None:
    """In a restored database it may be no trash yet."""
    live = Job.unscoped.filter(pk=job_id, run__isnull=False).first()
    if live is not None:
        Run.with_trash.filter(pk=live.run_id).update(jobs_deleted=F("jobs_deleted") + 1)
    _remove_jobs(Job.with_trash.filter(pk=job_id))
    Deletion.unscoped.filter(target_id=job_id).delete()


def remove_file(file_id: str) -> None:
    remove_files(DatasetFile.with_trash.filter(pk=file_id))


def remove_artifact(artifact_id: str) -> None:
    remove_artifacts(Artifact.with_trash.filter(pk=artifact_id))


def remove_all_of(deletion: Deletion) -> None:
    """Bytes first, then rows, a portion at a time; a repeated call goes on where the last one ended."""
    _remove_jobs(Job.with_trash.filter(deletion_id=deletion.pk))
    remove_files(DatasetFile.with_trash.filter(deletion_id=deletion.pk))
    remove_artifacts(Artifact.with_trash.filter(deletion_id=deletion.pk))
    if deletion.kind == Deletion.Kind.PROJECT:
        remove_project(deletion.target_id)
    elif deletion.kind == Deletion.Kind.RUN:
        remove_run(deletion.target_id)


def _remove_jobs(jobs: QuerySet[Job]) -> None:
    while portion := list(jobs.order_by("pk")[:JOBS_AT_ONCE]):
        attempts = Attempt.unscoped.filter(job__in=portion)
        attempt_ids = list(attempts.values_list("pk", flat=True))
        for job in portion:
            remove_tree(preview_folder_of(job).parent)
        for attempt_id in attempt_ids:
            remove_tree(places.attempt_folder(attempt_id))
        with transaction.atomic():
            Artifact.with_trash.filter(Q(job__in=portion) | Q(attempt_id__in=attempt_ids)).delete()
            Draft.unscoped.filter(source_id__in=[job.pk for job in portion]).delete()
            KeptEdits.unscoped.filter(pk__in=_edits_of(portion)).delete()
            Reservation.unscoped.filter(attempt_id__in=attempt_ids).delete()
            attempts.delete()
            Occasion.with_trash.filter(subject_id__in=[job.pk for job in portion]).delete()
            freed = Deletion.unscoped.filter(kind=Deletion.Kind.SPACE)
            freed.filter(target_id__in=[job.pk for job in portion]).delete()
            Job.with_trash.filter(pk__in=[job.pk for job in portion]).delete()


def _edits_of(jobs: list[Job]) -> list[str]:
    """Those that no clone of the jobs reads."""
    found = (
        parse_reference(value) for job in jobs for value in job.inputs.values() if isinstance(value, str)
    )
    own = [one.id for one in found if one is not None and one.kind == "edits"]
    others = Job.with_trash.exclude(pk__in=[job.pk for job in jobs])
    return [edits_id for edits_id in own if not others.filter(inputs__icontains=edits_id).exists()]
