"""What has lain in the trash long enough is removed in the background."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django_tasks import task

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.audit.tombstones import bury
from cryocloud.web.core.clock import now
from cryocloud.web.core.periodic import every
from cryocloud.web.core.tasks import REMOVING
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.data.tasks import TRASH_KEPT
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Job
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.removal import remove_all_of


@task(priority=REMOVING)
def remove_deletion(deletion_id: str, *, organization_id: str) -> None:
    """May be repeated: it goes on where it ended."""
    own = Deletion.unscoped.filter(pk=deletion_id, organization_id=organization_id)
    deletion = own.filter(purge_ordered_at__isnull=False).first()
    if deletion is None:
        return
    remove_all_of(deletion)
    with transaction.atomic():
        note_deletion(f"{deletion.kind}.purge", None, deletion)
        own.delete()


@every(timedelta(hours=1))
def empty_trash() -> None:
    """Order the removal of what has lain in the trash for 7 days."""
    for deletion in Deletion.unscoped.filter(created_at__lte=now() - TRASH_KEPT, purge_ordered_at=None):
        with transaction.atomic():
            order_removal(deletion)


@every(timedelta(minutes=5))
def forget_files_of_purged_datasets() -> None:
    """These went with their dataset."""
    of_files = Deletion.unscoped.filter(kind=Deletion.Kind.FILES)
    of_files.exclude(target_id__in=Dataset.unscoped.values("pk")).delete()


def order_removal(deletion: Deletion, *, actor: Actor | None = None) -> None:
    """Bury it and what lies in the trash within it; in the caller's transaction."""
    for one in Deletion.unscoped.select_for_update(no_key=True).filter(
        within(deletion), purge_ordered_at=None
    ):
        one.purge_ordered_at = now()
        one.save(update_fields=["purge_ordered_at"])
        if one.kind in (Deletion.Kind.PROJECT, Deletion.Kind.RUN):
            bury(one.kind, one.target_id)
        for file_id in DatasetFile.with_trash.filter(deletion_id=one.pk).values_list("pk", flat=True):
            bury("file", file_id)
        for artifact_id in Artifact.with_trash.filter(deletion_id=one.pk).values_list("pk", flat=True):
            bury("artifact", artifact_id)
        if one.kind != Deletion.Kind.PROJECT:
            for job_id in Job.with_trash.filter(deletion_id=one.pk).values_list("pk", flat=True):
                bury("job", job_id)
        note_deletion(f"{one.kind}.purge_order", actor, one)
        remove_deletion.enqueue(one.pk, organization_id=one.organization_id)


def within(deletion: Deletion) -> Q:
    inner = Q(pk=deletion.pk)
    if deletion.kind == Deletion.Kind.PROJECT:
        inner |= Q(project_id=deletion.project_id)
    if deletion.kind == Deletion.Kind.RUN:
        inner |= Q(target_id__in=Job.with_trash.filter(run_id=deletion.target_id).values("pk"))
    return inner


def note_deletion(verb: str, actor: Actor | None, deletion: Deletion) -> None:
    by: dict[str, Any] = {} if actor is None else {"actor_id": actor.user.pk, "via": actor.via}
    record_event(
        verb,
        organization_id=deletion.organization_id,
        target=deletion,
        of=deletion.target_id,
        jobs=deletion.jobs,
        files=deletion.files,
        size_bytes=deletion.size_bytes,
        **by,
    )
