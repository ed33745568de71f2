"""Putting projects, runs and jobs into the trash, bringing them back, and deleting them for good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict
from cryocloud.web.core.events import project_topic, publish
from cryocloud.web.core.models import DeletableRecord
from cryocloud.web.data.tasks import TRASH_KEPT
from cryocloud.web.notices.models import Occasion
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import preview_folder_of
from cryocloud.web.results.tasks import make_previews
from cryocloud.web.runs.advance import lock_project
from cryocloud.web.runs.lineage import references_of
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.trash.consequences import Consequences, Target, consequences_of, project_of, title_of
from cryocloud.web.trash.files import move_files_to_trash, restore_files
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.space import free_space, rebuildable_files, restore_space
from cryocloud.web.trash.tasks import note_deletion, order_removal, within

__all__ = [
    "deletions_within",
    "due_at",
    "find_deletion",
    "free_space",
    "move_files_to_trash",
    "move_to_trash",
    "needed_role",
    "purge_deletion",
    "rebuildable_files",
    "restore_deletion",
]

ROWS_AT_ONCE = 500
_KINDS: dict[type[Target], Deletion.Kind] = {
    Project: Deletion.Kind.PROJECT,
    Run: Deletion.Kind.RUN,
    Job: Deletion.Kind.JOB,
}


def needed_role(kind: str) -> Role:
    """A project holds everybody's work: who may archive it may delete it."""
    return Role.ADMIN if kind == Deletion.Kind.PROJECT else Role.EDITOR


def move_to_trash(*, actor: Actor, target: Target, along: bool = False) -> Deletion:
    """Put it away for 7 days; ``along`` takes the jobs with it that others made from its results."""
    kind, project = _KINDS[type(target)], project_of(target)
    access.require_role(actor, target.organization_id, needed_role(kind), access.Purpose.READ)
    with transaction.atomic():
        going = _locked_consequences(target)
        going.require_possible(along=along)
        deletion = Deletion.unscoped.create(
            organization_id=target.organization_id,
            kind=kind,
            target_id=target.pk,
            project_id=project.pk,
            title=title_of(target)[:200],
            place="" if isinstance(target, Project) else project.name,
            jobs=len(going.jobs) + len(going.further),
            files=going.files,
            size_bytes=going.size_bytes,
            created_by_id=actor.user.pk,
        )
        _take_away(deletion, target, [*going.jobs, *going.further])
        note_deletion(f"{kind}.trash", actor, deletion)
    return deletion


def _locked_consequences(target: Target) -> Consequences:
    """Jobs are locked before runs, and these before their project, as everywhere; then nothing new can begin."""
    first = consequences_of(target)
    ids = [job.pk for job in (*first.jobs, *first.further)]
    for portion in _portions(ids):
        list(Job.unscoped.select_for_update(no_key=True).filter(pk__in=portion).order_by("number"))
    list(Run.unscoped.select_for_update(no_key=True).filter(project=project_of(target)).order_by("number"))
    lock_project(project_of(target).pk)
    current = type(target).unscoped.filter(pk=target.pk).first()
    if current is None:
        raise Conflict(f"“{title_of(target)}” is in the trash already.")
    again = consequences_of(current)
    if [job.pk for job in (*again.jobs, *again.further)] != ids:
        raise Conflict("A job has just been added; look again at what would be deleted.")
    return again


def _take_away(deletion: Deletion, target: Target, jobs: list[Job]) -> None:
    for portion in _portions([job.pk for job in jobs]):
        Job.unscoped.filter(pk__in=portion).update(deletion_id=deletion.pk)
        Occasion.unscoped.filter(subject_id__in=portion).update(deletion_id=deletion.pk)
    if isinstance(target, Project):
        target.runs.update(deletion_id=deletion.pk)
    if not isinstance(target, Job):
        type(target).unscoped.filter(pk=target.pk).update(deletion_id=deletion.pk)
    about = Q(project=target) if isinstance(target, Project) else Q(subject_id=target.pk)
    Occasion.unscoped.filter(about).update(deletion_id=deletion.pk)
    _count_in_runs(jobs, +1)
    _tell(deletion)


def restore_deletion(*, actor: Actor, deletion: Deletion) -> None:
    """All that went at once comes back at once."""
    access.require_role(actor, deletion.organization_id, needed_role(deletion.kind), access.Purpose.READ)
    with transaction.atomic():
        jobs = list(
            Job.with_trash.select_for_update(no_key=True).filter(deletion_id=deletion.pk).order_by("number")
        )
        current = _locked(deletion)
        if current.purge_ordered_at is not None:
            raise Conflict(f"“{deletion.title}” is being deleted; nothing of it can be restored.")
        if current.kind == Deletion.Kind.FILES:
            restore_files(current)
        elif current.kind == Deletion.Kind.SPACE:
            restore_space(current)
        else:
            _restore_jobs(current, jobs)
        note_deletion(f"{deletion.kind}.restore", actor, current)
        current.delete()


def _locked(deletion: Deletion) -> Deletion:
    current = Deletion.unscoped.select_for_update(no_key=True).filter(pk=deletion.pk).first()
    if current is None:
        raise Conflict(f"“{deletion.title}” is not in the trash any more.")
    return current


def _restore_jobs(deletion: Deletion, jobs: list[Job]) -> None:
    _require_place(deletion, jobs)
    for model in (Project, Run, Job, Occasion):
        model.with_trash.filter(deletion_id=deletion.pk).update(deletion_id="")
    _count_in_runs(jobs, -1)
    for job in jobs:
        if job.state in Job.SUCCEEDED and not preview_folder_of(job).exists():
            make_previews.enqueue(job.pk, organization_id=job.organization_id)
    _tell(deletion)


def _require_place(deletion: Deletion, jobs: list[Job]) -> None:
    """What it belongs to, and what it was made from, must not be in the trash itself."""
    if deletion.kind == Deletion.Kind.PROJECT:
        return
    if not Project.unscoped.filter(pk=deletion.project_id).exists():
        raise Conflict(f"The project “{deletion.place}” is in the trash; restore that first.")
    around = Run.with_trash.filter(jobs__deletion_id=deletion.pk)
    run = around.exclude(deletion_id__in=("", deletion.pk)).first()
    if run is not None:
        raise Conflict(f"It belongs to run {run.number}, which is in the trash; restore that first.")
    makers = {one.id for job in jobs for one in references_of(job) if one.kind == "job"}
    for portion in _portions(makers):
        gone = Job.with_trash.filter(pk__in=portion, project_id=deletion.project_id)
        maker = gone.exclude(deletion_id__in=("", deletion.pk)).order_by("number").first()
        if maker is not None:
            raise Conflict(f"It was made from job {maker.number}, which is in the trash; restore that first.")


def _count_in_runs(jobs: Iterable[Job], sign: int) -> None:
    for run_id, count in Counter(job.run_id for job in jobs if job.run_id).items():
        Run.with_trash.filter(pk=run_id).update(jobs_deleted=F("jobs_deleted") + sign * count)


def purge_deletion(*, actor: Actor, deletion: Deletion) -> None:
    """Delete it for good now, without waiting; the worker removes the bytes."""
    access.require_role(actor, deletion.organization_id, Role.ADMIN, access.Purpose.READ)
    with transaction.atomic():
        order_removal(_locked(deletion), actor=actor)


def deletions_within(deletion: Deletion) -> list[Deletion]:
    """Others in the trash that would go with it."""
    return list(Deletion.unscoped.filter(within(deletion)).exclude(pk=deletion.pk))


def due_at(deletion: Deletion) -> datetime:
    return deletion.created_at + TRASH_KEPT


def find_deletion(actor: Actor, model: type[DeletableRecord], object_id: str) -> Deletion | None:
    """What took a row to the trash, for members of its organization."""
    row = model.with_trash.filter(pk=object_id).exclude(deletion_id="").first()
    return access.visible(actor, Deletion).filter(pk=row.deletion_id).first() if row else None


def _portions(ids: Iterable[str]) -> Iterable[list[str]]:
    listed = list(ids)
    return (listed[at : at + ROWS_AT_ONCE] for at in range(0, len(listed), ROWS_AT_ONCE))


def _tell(deletion: Deletion) -> None:
    """Open pages of the project draw themselves anew."""
    publish(deletion.organization_id, [project_topic(deletion.project_id)], "run", {"id": deletion.target_id})
