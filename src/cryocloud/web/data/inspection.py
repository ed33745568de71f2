"""Has a sandboxed process read the files that arrived, and records what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import transaction

from cryocloud.compute.sandbox import ToolFailed, run_tool
from cryocloud.web.core import places
from cryocloud.web.core.events import dataset_topic, publish
from cryocloud.web.data.models import DatasetFile

TOOL = "cryocloud.jobs.inspection"
PREVIEW_SIZES = ("thumb", "view")
FILES_AT_ONCE = 24
BYTES_AT_ONCE = 4 << 30
TIMEOUT_S = 300.0
MEMORY_BYTES = 3 << 30


def preview_file(file: DatasetFile, size: str) -> Path:
    return places.preview_folder(file.dataset_id) / f"{file.pk}-{size}.webp"


def inspect_batch(dataset_id: str) -> bool:
    """Read some files that nobody has read yet; True if more are left.

    If the tool fails on several files, each is tried alone, so that one of them cannot keep the others unread.
    """
    batch = _next_batch(dataset_id)
    if not batch:
        return False
    places.preview_folder(dataset_id).mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        _record(batch, _ask_tool(batch))
    except ToolFailed:
        for file in batch:
            _record([file], _ask_about(file))
    first = batch[0]
    publish(first.organization_id, [dataset_topic(dataset_id)], "files", {"read": len(batch)})
    return DatasetFile.unscoped.filter(dataset_id=dataset_id, state=DatasetFile.State.UNREAD).exists()


def _next_batch(dataset_id: str) -> list[DatasetFile]:
    unread = DatasetFile.unscoped.filter(dataset_id=dataset_id, state=DatasetFile.State.UNREAD)
    batch: list[DatasetFile] = []
    size_bytes = 0
    for file in unread.select_related("stored").order_by("created_at", "pk")[:FILES_AT_ONCE]:
        size_bytes += file.stored.size_bytes
        if batch and size_bytes > BYTES_AT_ONCE:
            break
        batch.append(file)
    return batch


def _ask_tool(files: list[DatasetFile]) -> list[dict[str, Any]]:
    order = {
        "files": [
            {
                "path": str(places.blob_file(file.stored.key)),
                "name": file.name,
                "previews": {size: str(preview_file(file, size)) for size in PREVIEW_SIZES},
            }
            for file in files
        ]
    }
    found: list[dict[str, Any]] = run_tool(TOOL, order, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)[
        "files"
    ]
    return found


def _ask_about(file: DatasetFile) -> list[dict[str, Any]]:
    try:
        return _ask_tool([file])
    except ToolFailed as error:
        problem = f"{file.name} could not be read: {error}"
        return [{"state": DatasetFile.State.DAMAGED, "header": {}, "problem": problem, "has_preview": False}]


def _record(files: list[DatasetFile], found: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        for file, facts in zip(files, found, strict=True):
            DatasetFile.unscoped.filter(pk=file.pk).update(
                state=facts["state"],
                header=facts["header"],
                problem=facts["problem"][:500],
                has_preview=facts["has_preview"],
            )
