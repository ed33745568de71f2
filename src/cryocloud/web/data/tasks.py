"""Background work on data: reading what arrived, copying from the server, deleting, and repairing after crashes."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import timedelta

from django.db import transaction
from django_tasks import task

from cryocloud.web.audit.services import record_event
from cryocloud.web.core import places
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, PlatformError
from cryocloud.web.core.periodic import every
from cryocloud.web.data import inspection
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject, Upload
from cryocloud.web.data.partial_file import Busy, DiskFull, PartialFile, received_bytes
from cryocloud.web.data.server_folders import open_source
from cryocloud.web.data.services import TRASH_KEPT, require_unused
from cryocloud.web.data.uploads import drop_upload, finish_upload

FILES_AT_ONCE = 200
_PIECE_BYTES = 4 << 20
SLOW = -10


@task(priority=SLOW)
def inspect_files(dataset_id: str) -> None:
    """Read what has arrived and was not read yet; goes on in a task of its own while there is more."""
    if inspection.inspect_batch(dataset_id):
        inspect_files.enqueue(dataset_id)


@task(priority=SLOW)
def finish_arrival(upload_id: str) -> None:
    """Hash and keep a file whose last byte has come."""
    finish_upload(upload_id)


@task(priority=SLOW)
def copy_server_file(upload_id: str) -> None:
    """Copy a file of the server into a dataset, from where an earlier try got to."""
    upload = Upload.unscoped.filter(pk=upload_id, state=Upload.State.OPEN).first()
    if upload is None:
        return
    try:
        _copy(upload)
    except Busy:
        return
    except DiskFull:
        raise
    except PlatformError as error:
        drop_upload(upload, f"could not be copied from the server: {error}")
        return
    finish_upload(upload_id)


def _copy(upload: Upload) -> None:
    if received_bytes(upload.pk, upload.size_bytes) == upload.size_bytes and upload.size_bytes:
        return
    descriptor = open_source(upload.source)
    try:
        partial = PartialFile(upload.pk)
        try:
            while partial.length < upload.size_bytes:
                wanted = min(_PIECE_BYTES, upload.size_bytes - partial.length)
                piece = os.pread(descriptor, wanted, partial.length)
                if not piece:
                    raise Conflict("it became shorter while it was copied")
                partial.append(piece)
            partial.sync()
        finally:
            partial.close()
    finally:
        os.close(descriptor)


@task(priority=SLOW)
def remove_dataset(dataset_id: str) -> None:
    """Remove the bytes, then the rows, a portion at a time; a repeated call goes on where the last one ended."""
    dataset = Dataset.unscoped.filter(pk=dataset_id, purge_ordered_at__isnull=False).first()
    if dataset is None:
        return
    files = DatasetFile.unscoped.filter(dataset=dataset).select_related("stored")
    count = size_bytes = 0
    while portion := list(files.order_by("pk")[:FILES_AT_ONCE]):
        for file in portion:
            _remove_bytes(file)
            size_bytes += file.stored.size_bytes
        count += len(portion)
        with transaction.atomic():
            DatasetFile.unscoped.filter(pk__in=[file.pk for file in portion]).delete()
            StoredObject.unscoped.filter(pk__in=[file.stored_id for file in portion]).delete()
    for upload in Upload.unscoped.filter(dataset=dataset, state=Upload.State.OPEN):
        drop_upload(upload, "the dataset was deleted")
    for folder in (places.dataset_folder(dataset_id).parent, places.preview_folder(dataset_id)):
        shutil.rmtree(folder, ignore_errors=True)
    with transaction.atomic():
        record_event(
            "dataset.purge",
            organization_id=dataset.organization_id,
            target=dataset,
            files=count,
            size_bytes=size_bytes,
        )
        Upload.unscoped.filter(dataset=dataset).delete()
        dataset.delete()


def _remove_bytes(file: DatasetFile) -> None:
    (places.dataset_folder(file.dataset_id) / file.path).unlink(missing_ok=True)
    for size in inspection.PREVIEW_SIZES:
        inspection.preview_file(file, size).unlink(missing_ok=True)
    places.blob_file(file.stored.key).unlink(missing_ok=True)


@every(timedelta(hours=1))
def empty_trash() -> None:
    """Order the deletion of what has lain in the trash for 7 days; what a job reads waits."""
    due = Dataset.unscoped.filter(trashed_at__lte=now() - TRASH_KEPT, purge_ordered_at=None)
    for dataset in due:
        with suppress(Conflict), transaction.atomic():
            require_unused(dataset)
            Dataset.unscoped.filter(pk=dataset.pk).update(purge_ordered_at=now())
            remove_dataset.enqueue(dataset.pk)


@every(timedelta(minutes=1))
def finish_interrupted() -> None:
    """Uploads whose last byte arrived before a crash, and copies that no task has in hand any more."""
    for upload in Upload.unscoped.filter(state=Upload.State.OPEN, expires_at__gt=now()):
        if received_bytes(upload.pk, upload.size_bytes) == upload.size_bytes:
            finish_arrival.enqueue(upload.pk)


@every(timedelta(minutes=30))
def drop_expired_uploads() -> None:
    for upload in Upload.unscoped.filter(state=Upload.State.OPEN, expires_at__lte=now()):
        drop_upload(upload, "nothing arrived for 7 days")


@every(timedelta(hours=24))
def sweep_partial_files() -> None:
    """Bytes of uploads that are not open any more, left by a crash between row and file."""
    folder = places.partial_file("any").parent
    if not folder.is_dir():
        return
    present = {path.name for path in folder.iterdir()}
    open_ids = set(Upload.unscoped.filter(state=Upload.State.OPEN).values_list("pk", flat=True))
    for name in present - open_ids:
        places.partial_file(name).unlink(missing_ok=True)
