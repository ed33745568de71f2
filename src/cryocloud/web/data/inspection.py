"""Has a sandboxed process read the files that arrived, and records what it found."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django_tasks import task

from cryocloud.compute.foreign import is_own_file, remove_tree
from cryocloud.compute.sandbox import ToolFailed, run_tool
from cryocloud.web.core import places
from cryocloud.web.core.disk_room import require_room
from cryocloud.web.core.events import dataset_topic, publish
from cryocloud.web.core.isolation import confinement
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.tasks import READING
from cryocloud.web.data.models import DatasetFile

TOOL = "cryocloud.jobs.inspection"
PREVIEW_SIZES = ("thumb", "view")
FILES_AT_ONCE = 24
BYTES_AT_ONCE = 4 << 30
# One file may take so long. A batch begins no further file after the first quarter, so that its last one has the rest.
FILE_S = 20.0
BEGIN_SHARE = 0.25
MEMORY_BYTES = 3 << 30
HEADER_LENGTH_MAX = 100_000
PREVIEW_BYTES_MAX = 16 << 20

# How many of the next files of an organization are read alone, because a batch with them got no answer.
_alone: dict[str, int] = {}


def preview_file(file: DatasetFile, size: str) -> Path:
    return places.preview_folder(file.dataset_id) / f"{file.pk}-{size}.webp"


@task(priority=READING)
def inspect_files(*, organization_id: str) -> None:
    """Read some of what an organization has not had read yet; goes on in a task of its own while there is more."""
    require_room()
    if inspect_batch(organization_id):
        order_inspection(organization_id)


@transaction.atomic
def order_inspection(organization_id: str) -> None:
    """At most one order waits, and begins after the caller's transaction. One that is being carried out may have
    looked before the file was there.
    """
    waiting = BackgroundTask.objects.filter(
        path=inspect_files.module_path,
        organization_id=organization_id,
        state=BackgroundTask.State.READY,
    )
    if waiting.select_for_update(no_key=True).first() is None:
        inspect_files.enqueue(organization_id=organization_id)


def inspect_batch(organization_id: str) -> bool:
    """Read some files of an organization that nobody has read yet; True if more are left.

    If the tool fails on several files, the first is tried alone and the others of this batch in turns of their own:
    one of them cannot keep the others unread, and all of them together cannot keep another organization waiting.
    """
    alone = _alone.pop(organization_id, 0)
    batch = _next_batch(organization_id, 1 if alone else FILES_AT_ONCE)
    if not batch:
        return False
    dataset_id = batch[0].dataset_id
    places.preview_folder(dataset_id).mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        found = _ask_tool(batch)
    except ToolFailed as error:
        found = [_unreadable(batch[0], error)] if len(batch) == 1 else _ask_about(batch[0])
        alone = max(alone, len(batch))
    if alone > 1:
        _alone[organization_id] = alone - 1
    _record(batch, found)
    publish(organization_id, [dataset_topic(dataset_id)], "files", {"read": len(found)})
    return _unread(organization_id).exists()


def _unread(organization_id: str) -> QuerySet[DatasetFile]:
    return DatasetFile.unscoped.filter(organization_id=organization_id, state=DatasetFile.State.UNREAD)


def _next_batch(organization_id: str, count: int) -> list[DatasetFile]:
    """Of one dataset."""
    batch: list[DatasetFile] = []
    size_bytes = 0
    for file in _unread(organization_id).select_related("stored").order_by("created_at", "pk")[:count]:
        size_bytes += file.stored.size_bytes
        if batch and (size_bytes > BYTES_AT_ONCE or file.dataset_id != batch[0].dataset_id):
            break
        batch.append(file)
    return batch


def _ask_tool(files: list[DatasetFile]) -> list[dict[str, Any]]:
    """Its pictures lie in a folder of their own until the tool has ended: what else it leaves there is removed."""
    kept = places.preview_folder(files[0].dataset_id)
    made = Path(tempfile.mkdtemp(prefix=".made-", dir=kept))
    try:
        found = _answer_of_tool(files, made)
        for picture in [preview_file(file, size) for file in files for size in PREVIEW_SIZES]:
            if is_own_file(made / picture.name, PREVIEW_BYTES_MAX):
                (made / picture.name).replace(picture)
    finally:
        remove_tree(made)
    return found


def _answer_of_tool(files: list[DatasetFile], made: Path) -> list[dict[str, Any]]:
    order = {
        "files": [
            {
                "path": str(places.blob_file(file.stored.key)),
                "name": file.name,
                "previews": {size: str(made / preview_file(file, size).name) for size in PREVIEW_SIZES},
            }
            for file in files
        ],
        "seconds": BEGIN_SHARE * FILE_S,
    }
    walls = confinement(
        readable=[places.blob_file(file.stored.key) for file in files],
        writable=[made],
        memory_bytes=MEMORY_BYTES,
    )
    found = run_tool(TOOL, order, timeout_s=FILE_S, confinement=walls).get("files")
    if not isinstance(found, list) or not found or not all(_is_answer(one) for one in found):
        raise ToolFailed(f"{TOOL} answered nothing about it")
    return found


def _is_answer(facts: Any) -> bool:
    """The tool has read a stranger's file, and may say anything by now."""
    match facts:
        case {"state": str() as state, "header": dict() as header, "problem": str(), "has_preview": bool()}:
            return state in DatasetFile.State.values and len(json.dumps(header)) <= HEADER_LENGTH_MAX
    return False


def _ask_about(file: DatasetFile) -> list[dict[str, Any]]:
    try:
        return _ask_tool([file])
    except ToolFailed as error:
        return [_unreadable(file, error)]


def _unreadable(file: DatasetFile, error: ToolFailed) -> dict[str, Any]:
    reason = str(error).replace(TOOL, "the reader")
    problem = f"{file.name} could not be read: {reason}. It is kept as it is."
    return {"state": DatasetFile.State.DAMAGED, "header": {}, "problem": problem, "has_preview": False}


def _record(files: list[DatasetFile], found: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        for file, facts in zip(files, found, strict=False):
            DatasetFile.unscoped.filter(pk=file.pk).update(
                state=facts["state"],
                header=facts["header"],
                problem=facts["problem"][:500],
                has_preview=facts["has_preview"],
            )
