"""Single files of a dataset go to the trash: jobs no longer find them, their bytes stay until they are purged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import transaction
from django.db.models import Q, QuerySet
from django_tasks import task

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core import places
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.core.events import dataset_topic, publish
from cryocloud.web.core.tasks import REMOVING
from cryocloud.web.data.file_names import folders_of
from cryocloud.web.data.inspection import order_inspection
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject, Upload
from cryocloud.web.data.partial_file import link_under_name
from cryocloud.web.data.tasks import FILES_AT_ONCE, remove_bytes
from cryocloud.web.data.usage import JobUse, require_none_active
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.runs.dataset_usage import jobs_reading
from cryocloud.web.trash.models import Deletion

FILES_MAX = 1000
"""Of one deletion: as many as can be selected, and looked through on a page."""


def chosen_files(dataset: Dataset, ids: Iterable[str]) -> list[DatasetFile]:
    """The files of the dataset with these ids, by path; raise unless all are there."""
    wanted = set(ids)
    if not 0 < len(wanted) <= FILES_MAX:
        raise Refused(
            f"Select between 1 and {intcomma(FILES_MAX)} files ({intcomma(len(wanted))} are); for all of them, delete "
            "the dataset."
        )
    found = list(dataset.files.filter(pk__in=wanted).select_related("stored").order_by("path"))
    if len(found) != len(wanted):
        raise NotFound
    return found


def jobs_using_files(dataset: Dataset, files: Sequence[DatasetFile]) -> list[JobUse]:
    """Those that read one of the files or the whole dataset, directly or through results."""
    return jobs_reading(dataset, only={file.pk for file in files})


def move_files_to_trash(*, actor: Actor, dataset: Dataset, file_ids: Iterable[str]) -> Deletion:
    """Put them away for 7 days; refused while a job that has not ended reads them."""
    access.require_role(actor, dataset.organization_id, Role.EDITOR, access.Purpose.READ)
    with transaction.atomic():
        current = Dataset.unscoped.select_for_update(no_key=True).get(pk=dataset.pk)
        if current.trashed_at is not None:
            raise Conflict(f"The dataset “{current.name}” is in the trash, with all its files.")
        files = chosen_files(current, file_ids)
        title = files[0].path if len(files) == 1 else f"{intcomma(len(files))} files of {current.name}"
        require_none_active(title, jobs_using_files(current, files))
        deletion = Deletion.unscoped.create(
            organization_id=current.organization_id,
            kind=Deletion.Kind.FILES,
            target_id=current.pk,
            title=title[-200:],
            place=current.name,
            jobs=0,
            files=len(files),
            size_bytes=sum(file.stored.size_bytes for file in files),
            created_by_id=actor.user.pk,
        )
        DatasetFile.unscoped.filter(pk__in=[file.pk for file in files]).update(deletion_id=deletion.pk)
        # At once for the next job, and by the worker in case this process is killed in between.
        transaction.on_commit(lambda: hide_names.func(deletion.pk, organization_id=deletion.organization_id))
        hide_names.enqueue(deletion.pk, organization_id=deletion.organization_id)
        _tell(deletion)
    return deletion


@task(priority=REMOVING)
def hide_names(deletion_id: str, *, organization_id: str) -> None:
    """Take the names away under which jobs find files, unless another file has come under the same name."""
    files = DatasetFile.with_trash.filter(deletion_id=deletion_id, organization_id=organization_id)
    for file in files.select_related("stored"):
        name, blob = places.dataset_folder(file.dataset_id) / file.path, places.blob_file(file.stored.key)
        if name.exists() and name.samefile(blob):
            name.unlink()


def restore_files(deletion: Deletion) -> None:
    """In the transaction that ends the deletion."""
    dataset = Dataset.unscoped.select_for_update(no_key=True).filter(pk=deletion.target_id).first()
    if dataset is None:
        raise Conflict(f"The dataset “{deletion.place}” has been deleted for good, with all its files.")
    if dataset.trashed_at is not None:
        raise Conflict(f"The dataset “{dataset.name}” is in the trash; restore that first.")
    files = list(DatasetFile.with_trash.filter(deletion_id=deletion.pk).select_related("stored"))
    for file in files:
        _require_free(dataset, file.path)
    for file in files:
        link_under_name(places.blob_file(file.stored.key), places.dataset_folder(dataset.pk) / file.path)
    DatasetFile.with_trash.filter(deletion_id=deletion.pk).update(deletion_id="")
    order_inspection(dataset.organization_id)
    _tell(deletion)


def _require_free(dataset: Dataset, path: str) -> None:
    """Another file may have come under the name, or be on its way."""
    taken = Q(path__in=[path, *folders_of(path)]) | Q(path__startswith=f"{path}/")
    arriving = Upload.unscoped.filter(dataset=dataset, state=Upload.State.OPEN).filter(taken)
    other = arriving.first() or dataset.files.filter(taken).first()
    if other is not None:
        raise Conflict(
            f"{other.path} has been added meanwhile, and {path} cannot lie beside it. Delete that first."
        )


def remove_files(files: QuerySet[DatasetFile]) -> None:
    """Bytes first, then rows; a repeated call goes on where the last one ended."""
    while portion := list(files.select_related("stored").order_by("pk")[:FILES_AT_ONCE]):
        for file in portion:
            remove_bytes(file)
        with transaction.atomic():
            DatasetFile.with_trash.filter(pk__in=[file.pk for file in portion]).delete()
            StoredObject.unscoped.filter(pk__in=[file.stored_id for file in portion]).delete()


def _tell(deletion: Deletion) -> None:
    publish(deletion.organization_id, [dataset_topic(deletion.target_id)], "files", {})
