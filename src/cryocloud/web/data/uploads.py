"""From an announced file to a file of a dataset, in steps of which each may be the last before a crash."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import transaction
from django.db.models import Q

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.orders import count_given_up
from cryocloud.web.audit.services import record_event
from cryocloud.web.configuration import configuration
from cryocloud.web.core import places
from cryocloud.web.core.clock import age_s, now
from cryocloud.web.core.errors import Conflict, QuotaExceeded, Refused
from cryocloud.web.core.events import dataset_topic, publish
from cryocloud.web.data.file_names import checked_path, folders_of
from cryocloud.web.data.inspection import order_inspection
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject, Upload
from cryocloud.web.data.partial_file import hash_of_file, link_under_name, received_bytes, settle
from cryocloud.web.data.server_folders import ServerFile
from cryocloud.web.data.storage import reserve_storage

KEPT = timedelta(days=7)
QUIET_S = 30.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


def begin_upload(*, actor: Actor, dataset: Dataset, path: str, size_bytes: int, sha256: str = "") -> Upload:
    """Announce a file. An older, silent upload to the same path gives way."""
    sha256 = sha256.lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise Refused("sha256: give 64 hexadecimal digits, or nothing.", {"sha256": "is no SHA-256"})
    with transaction.atomic():
        upload = _unsaved(actor, dataset, path, size_bytes)
        reserve_storage(dataset.organization_id, files=1, size_bytes=size_bytes)
        upload.sha256 = sha256
        upload.save(force_insert=True)
    return upload


def begin_copies(*, actor: Actor, dataset: Dataset, files: list[ServerFile]) -> list[Upload]:
    """Announce files of the server, with one look at what the plan holds."""
    with transaction.atomic():
        uploads = [_unsaved(actor, dataset, file.path, file.size_bytes) for file in files]
        for upload, file in zip(uploads, files, strict=True):
            upload.source = str(file.source)
        reserve_storage(
            dataset.organization_id, files=len(files), size_bytes=sum(file.size_bytes for file in files)
        )
        return Upload.unscoped.bulk_create(uploads)


def _unsaved(actor: Actor, dataset: Dataset, path: str, size_bytes: int) -> Upload:
    """An upload for whose path there is room in the dataset."""
    checked_path(path)
    _check_size(path, size_bytes)
    _require_open(dataset)
    _require_free_path(dataset, path, size_bytes)
    for former in Upload.unscoped.filter(dataset=dataset, path=path, state=Upload.State.OPEN):
        count_given_up(actor)
        _give_way(former)
    return Upload(
        organization_id=dataset.organization_id,
        dataset=dataset,
        path=path,
        size_bytes=size_bytes,
        created_by_id=actor.user.id,
        expires_at=now() + KEPT,
    )


def find_open_upload(dataset: Dataset, *, path: str, size_bytes: int, sha256: str) -> Upload | None:
    """The upload to go on with: of the same content, as far as its checksum tells."""
    same = Upload.unscoped.filter(dataset=dataset, path=path, size_bytes=size_bytes, sha256=sha256.lower())
    return same.filter(state=Upload.State.OPEN, expires_at__gt=now()).first() if sha256 else None


def abort_upload(*, actor: Actor, upload: Upload) -> None:
    """Drop what has arrived; an upload that is done stays."""
    if upload.state != Upload.State.OPEN:
        raise Conflict(f"{upload.path}: this upload is {upload.state} already.")
    count_given_up(actor)
    drop_upload(upload, "stopped by a person")
    record_event(
        "upload.abort",
        organization_id=upload.organization_id,
        target=upload,
        actor_id=actor.user.id,
        via=actor.via,
        path=upload.path,
    )


def drop_upload(upload: Upload, problem: str) -> None:
    """End an open upload without a file. Whoever turns the state first wins: no file comes of it any more."""
    with transaction.atomic():
        changed = Upload.unscoped.filter(pk=upload.pk, state=Upload.State.OPEN).update(
            state=Upload.State.ABORTED, problem=problem[:500]
        )
        if changed:
            transaction.on_commit(lambda: _forget_bytes(upload.pk))
            topic = dataset_topic(upload.dataset_id)
            publish(upload.organization_id, [topic], "files", {"path": upload.path})


def _forget_bytes(upload_id: str) -> None:
    for path in (places.partial_file(upload_id), places.blob_file(upload_id)):
        path.unlink(missing_ok=True)


def prolong(upload: Upload) -> None:
    """An upload that goes on does not expire; written once a day at most."""
    if upload.expires_at < now() + KEPT - timedelta(days=1):
        upload.expires_at = now() + KEPT
        Upload.unscoped.filter(pk=upload.pk).update(expires_at=upload.expires_at)


def finish_upload(upload_id: str, *, sha256: str = "") -> DatasetFile | None:
    """Make a complete upload a file of its dataset; repeating it after a crash at any step ends the same.

    ``sha256`` is what the receiver computed while the bytes came in; without it the bytes are read again. The blob's
    key is the id of the upload, so that a second call finds what the first has moved. None if it is not complete or
    was refused; the reason of a refusal is the upload's ``problem``.
    """
    upload = Upload.unscoped.select_related("dataset").get(pk=upload_id)
    if upload.state == Upload.State.DONE:
        return DatasetFile.unscoped.filter(stored__key=upload_id).first()
    partial, blob = places.partial_file(upload_id), places.blob_file(upload_id)
    is_complete = received_bytes(upload_id, upload.size_bytes) == upload.size_bytes
    if upload.state == Upload.State.ABORTED or not is_complete:
        return None
    if upload.size_bytes == 0 and not blob.exists():
        partial.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial.touch(mode=0o600)
    digest = sha256 or hash_of_file(blob if blob.exists() else partial)
    if upload.sha256 and upload.sha256 != digest:
        drop_upload(
            upload,
            f"arrived with the SHA-256 {digest} instead of {upload.sha256}; the file changed while it was "
            "sent, or was damaged on its way: upload it again",
        )
        return None
    settle(partial, blob)
    link_under_name(blob, places.dataset_folder(upload.dataset_id) / upload.path)
    return _record_file(upload_id, digest)


def _record_file(upload_id: str, digest: str) -> DatasetFile | None:
    with transaction.atomic():
        upload = Upload.unscoped.select_for_update(no_key=True).get(pk=upload_id)
        if upload.state != Upload.State.OPEN:
            return DatasetFile.unscoped.filter(stored__key=upload_id).first()
        own = {"organization_id": upload.organization_id}
        stored = StoredObject.unscoped.create(
            key=upload_id, size_bytes=upload.size_bytes, sha256=digest, **own
        )
        file = DatasetFile.unscoped.create(
            dataset_id=upload.dataset_id, path=upload.path, stored=stored, **own
        )
        Upload.unscoped.filter(pk=upload_id).update(state=Upload.State.DONE)
        record_event(
            "file.add",
            **own,
            target=file,
            actor_id=upload.created_by_id,
            dataset_id=upload.dataset_id,
            sha256=digest,
            size_bytes=upload.size_bytes,
        )
        publish(upload.organization_id, [dataset_topic(upload.dataset_id)], "files", {"path": upload.path})
        order_inspection(upload.organization_id)
    return file


def _check_size(path: str, size_bytes: int) -> None:
    limit_bytes = configuration().upload_bytes_max
    if size_bytes < 0:
        raise Refused(f"{path}: {size_bytes} bytes is no size.", {"size_bytes": "is negative"})
    if size_bytes > limit_bytes:
        raise QuotaExceeded(
            f"{path} has {intcomma(size_bytes)} bytes, more than the {intcomma(limit_bytes)} of one file."
        )


def _require_open(dataset: Dataset) -> None:
    fresh = Dataset.unscoped.select_for_update(no_key=True).get(pk=dataset.pk)
    if fresh.trashed_at is not None:
        raise Conflict(f"The dataset “{fresh.name}” is in the trash. Restore it first.")


def _require_free_path(dataset: Dataset, path: str, size_bytes: int) -> None:
    files = DatasetFile.unscoped.filter(dataset=dataset)
    present = files.filter(path=path).select_related("stored").first()
    if present is not None and present.stored.size_bytes != size_bytes:
        raise Conflict(
            f"{path}: the dataset has a file of this name with {intcomma(present.stored.size_bytes)} bytes, and this "
            f"one has {intcomma(size_bytes)}. Files of a dataset do not change: use another name or another dataset."
        )
    if present is not None:
        raise Conflict(
            f"{path} is in this dataset already ({intcomma(size_bytes)} bytes). Files of a dataset do not change: "
            "use another name or another dataset."
        )
    blocked = Q(path__in=folders_of(path)) | Q(path__startswith=f"{path}/")
    arriving = Upload.unscoped.filter(dataset=dataset, state=Upload.State.OPEN)
    for rows in (files, arriving):
        other = rows.filter(blocked).values_list("path", flat=True).first()
        if other is not None:
            raise Conflict(f"{path} cannot be a file beside {other}: one would be a folder in the other.")


def _give_way(former: Upload) -> None:
    if seconds_quiet(former) < QUIET_S:
        raise Conflict(
            f"{former.path} is being uploaded at this moment. Wait for its end, or stop it and try again "
            f"{QUIET_S:.0f} s later."
        )
    drop_upload(former, "given up for a newer upload of the same name")


def seconds_quiet(upload: Upload) -> float:
    """How long nothing has arrived."""
    with suppress(FileNotFoundError):
        return age_s(places.partial_file(upload.pk).stat())
    return QUIET_S + (now() - upload.created_at).total_seconds()
