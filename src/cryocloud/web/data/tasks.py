"""Background work on data: keeping what arrived, copying from the server, deleting, and repairing after crashes."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from datetime import timedelta

from django.db import transaction
from django_tasks import task

from cryocloud.compute.foreign import remove_tree
from cryocloud.web.audit.services import record_event
from cryocloud.web.audit.tombstones import bury
from cryocloud.web.core import places
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, DiskFull, PlatformError
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.periodic import every
from cryocloud.web.core.tasks import MOVING, REMOVING
from cryocloud.web.data.inspection import PREVIEW_SIZES, order_inspection, preview_file
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject, Upload
from cryocloud.web.data.partial_file import Busy, PartialFile, received_bytes
from cryocloud.web.data.server_folders import open_source
from cryocloud.web.data.storage import sample_storage_of
from cryocloud.web.data.uploads import drop_upload, finish_upload
from cryocloud.web.data.usage import require_unused
from cryocloud.web.organizations.models import Organization

FILES_AT_ONCE = 200
_PIECE_BYTES = 4 << 20
# Of one task of a kind that stands in a queue with others.
TURN_S = 20.0
UPLOADS_KEPT = timedelta(days=30)
TRASH_KEPT = timedelta(days=7)

# How far files of several turns have been hashed; a restart begins with them anew.
_hashing: dict[str, tuple[int, hashlib._Hash]] = {}


@every(timedelta(minutes=5))
def inspect_forgotten() -> None:
    """Files whose order was lost with a task that failed."""
    unread = DatasetFile.unscoped.filter(state=DatasetFile.State.UNREAD)
    for organization_id in set(unread.values_list("organization_id", flat=True)):
        order_inspection(organization_id)


@every(timedelta(minutes=2))
def sample_storage() -> None:
    """What each organization keeps at this full hour."""
    for organization in (
        Organization.objects.exclude(state=Organization.State.PURGED).order_by("pk").iterator()
    ):
        sample_storage_of(organization)


@task(priority=MOVING)
def finish_arrival(upload_id: str, *, organization_id: str) -> None:
    """Hash and keep a file whose last byte has come; some seconds of it in one turn."""
    own = Upload.unscoped.filter(pk=upload_id, organization_id=organization_id)
    upload = own.filter(state=Upload.State.OPEN).first()
    if upload is None or received_bytes(upload_id, upload.size_bytes) < upload.size_bytes:
        _hashing.pop(upload_id, None)
        return
    digest = _hash_on(upload) if upload.size_bytes else ""
    if digest or not upload.size_bytes:
        finish_upload(upload_id, sha256=digest)
    else:
        finish_arrival.enqueue(upload_id, organization_id=organization_id)


def _hash_on(upload: Upload) -> str:
    """The SHA-256 once the last byte has been read; empty as long as turns are needed."""
    end_s = time.monotonic() + TURN_S
    length, digest = _hashing.pop(upload.pk, (0, hashlib.sha256()))
    blob = places.blob_file(upload.pk)
    with (blob if blob.exists() else places.partial_file(upload.pk)).open("rb") as stream:
        stream.seek(length)
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
            length += len(piece)
            if time.monotonic() > end_s:
                break
    if length == upload.size_bytes:
        return str(digest.hexdigest())
    _hashing[upload.pk] = (length, digest)
    return ""


def order_arrival(upload: Upload) -> None:
    """At most one order waits."""
    waiting = BackgroundTask.objects.filter(
        path=finish_arrival.module_path,
        organization_id=upload.organization_id,
        arguments__args=[upload.pk],
        state__in=(BackgroundTask.State.READY, BackgroundTask.State.RUNNING),
    )
    if not waiting.exists():
        finish_arrival.enqueue(upload.pk, organization_id=upload.organization_id)


@task(priority=MOVING)
def copy_server_file(upload_id: str, *, organization_id: str) -> None:
    """Copy a file of the server into a dataset, from where an earlier try got to; some seconds of it in one turn."""
    own = Upload.unscoped.filter(pk=upload_id, organization_id=organization_id)
    upload = own.filter(state=Upload.State.OPEN).first()
    if upload is None:
        return
    try:
        is_complete = _copy(upload)
    except Busy:
        return
    except DiskFull:
        raise
    except PlatformError as error:
        drop_upload(upload, f"could not be copied from the server: {error}")
        return
    if is_complete:
        finish_arrival.enqueue(upload_id, organization_id=organization_id)
    else:
        copy_server_file.enqueue(upload_id, organization_id=organization_id)


def _copy(upload: Upload) -> bool:
    """Whether all of it is here now."""
    if received_bytes(upload.pk, upload.size_bytes) == upload.size_bytes and upload.size_bytes:
        return True
    end_s = time.monotonic() + TURN_S
    descriptor = open_source(upload.source, upload.organization_id)
    try:
        partial = PartialFile(upload.pk)
        try:
            while partial.length < upload.size_bytes:
                wanted = min(_PIECE_BYTES, upload.size_bytes - partial.length)
                piece = os.pread(descriptor, wanted, partial.length)
                if not piece:
                    raise Conflict("it became shorter while it was copied")
                partial.append(piece)
                if time.monotonic() > end_s:
                    break
            partial.sync()
            return partial.length == upload.size_bytes
        finally:
            partial.close()
    finally:
        os.close(descriptor)


@task(priority=REMOVING)
def remove_dataset(dataset_id: str, *, organization_id: str) -> None:
    """Remove the bytes, then the rows, a portion at a time; a repeated call goes on where the last one ended."""
    own = Dataset.unscoped.filter(pk=dataset_id, organization_id=organization_id)
    dataset = own.filter(purge_ordered_at__isnull=False).first()
    if dataset is None:
        return
    files = DatasetFile.with_trash.filter(dataset=dataset).select_related("stored")
    count = size_bytes = 0
    while portion := list(files.order_by("pk")[:FILES_AT_ONCE]):
        for file in portion:
            remove_bytes(file)
            size_bytes += file.stored.size_bytes
        count += len(portion)
        with transaction.atomic():
            DatasetFile.with_trash.filter(pk__in=[file.pk for file in portion]).delete()
            StoredObject.unscoped.filter(pk__in=[file.stored_id for file in portion]).delete()
    for upload in Upload.unscoped.filter(dataset=dataset, state=Upload.State.OPEN):
        drop_upload(upload, "the dataset was deleted")
    for folder in (places.dataset_folder(dataset_id).parent, places.preview_folder(dataset_id)):
        remove_tree(folder)
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


def remove_bytes(file: DatasetFile) -> None:
    """Its name in the folder of the dataset too, unless another file has taken that since it went to the trash."""
    blob = places.blob_file(file.stored.key)
    name = places.dataset_folder(file.dataset_id) / file.path
    if name.exists() and (not blob.exists() or name.samefile(blob)):
        name.unlink()
    for size in PREVIEW_SIZES:
        preview_file(file, size).unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
    # Empty folders take inodes too; one with other blobs stays.
    with suppress(OSError):
        blob.parent.rmdir()


@every(timedelta(hours=1))
def empty_trash() -> None:
    """Order the deletion of what has lain in the trash for 7 days; what a job reads waits."""
    due = Dataset.unscoped.filter(trashed_at__lte=now() - TRASH_KEPT, purge_ordered_at=None)
    for dataset in due:
        with suppress(Conflict), transaction.atomic():
            require_unused(dataset)
            order_purge(dataset)


def order_purge(dataset: Dataset) -> None:
    """In the caller's transaction; one that has been restored meanwhile stays."""
    in_trash = Dataset.unscoped.filter(pk=dataset.pk, trashed_at__isnull=False)
    if not in_trash.update(purge_ordered_at=now()):
        raise Conflict(f"The dataset “{dataset.name}” is not in the trash. Move it there first.")
    bury("dataset", dataset.pk)
    remove_dataset.enqueue(dataset.pk, organization_id=dataset.organization_id)


@every(timedelta(minutes=1))
def finish_interrupted() -> None:
    """Uploads whose last byte arrived before a crash, and copies that no task has in hand any more."""
    for upload in Upload.unscoped.filter(state=Upload.State.OPEN, expires_at__gt=now()):
        if received_bytes(upload.pk, upload.size_bytes) == upload.size_bytes:
            order_arrival(upload)


@every(timedelta(hours=24))
def forget_uploads() -> None:
    """Rows of transfers that ended long ago: who asks for one then gets the answer of a missing thing."""
    ended = Upload.unscoped.exclude(state=Upload.State.OPEN)
    ended.filter(expires_at__lt=now() - UPLOADS_KEPT).delete()


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
