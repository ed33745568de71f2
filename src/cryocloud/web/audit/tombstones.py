"""What was taken away for good, kept outside of the database, so that no backup brings it back.

A removal writes a row in its own transaction; once that is committed, a line with ids and nothing else is appended to a
file and synced. A restored database lacks the rows of what came after the backup, and the file has them.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import transaction

from cryocloud.web.audit.models import Tombstone
from cryocloud.web.configuration import configuration

_log = logging.getLogger("cryocloud.tombstones")


def tombstone_file() -> Path:
    return tombstone_folder() / "tombstones.jsonl"


def tombstone_folder() -> Path:
    site = configuration()
    return site.tombstones or site.home / "tombstones"


def bury(kind: str, object_id: str, **detail: Any) -> None:
    """Write that something has ended, in the transaction that ends it."""
    Tombstone.objects.create(kind=kind, object_id=object_id, detail=detail)
    transaction.on_commit(write_out)


def write_out() -> None:
    """Append what is not in the file yet; what a full disk or a crash prevents is done at the next opportunity."""
    rows = list(Tombstone.objects.filter(is_written=False).order_by("created_at", "pk"))
    if not rows:
        return
    try:
        _append(rows)
    except OSError:
        _log.exception("tombstones not written", extra={"waiting": len(rows)})
        return
    Tombstone.objects.filter(pk__in=[row.pk for row in rows]).update(is_written=True)


def _append(rows: list[Tombstone]) -> None:
    lines = "".join(f"\n{json.dumps(_line(row))}" for row in rows)
    path = tombstone_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        content = memoryview(f"{lines}\n".encode())
        while content:
            content = content[stream.write(content) :]
        os.fsync(stream.fileno())


def _line(row: Tombstone) -> dict[str, Any]:
    at = row.created_at.isoformat()
    return {"id": row.pk, "kind": row.kind, "object": row.object_id, "at": at, "detail": row.detail}


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """A line that a crash has torn was never confirmed to anybody."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, text in enumerate(stream, start=1):
            if text.strip():
                try:
                    line = json.loads(text)
                    yield {name: line[name] for name in ("id", "kind", "object", "at", "detail")}
                except (ValueError, KeyError, TypeError):
                    _log.error("torn tombstone", extra={"line": number})


def unknown_lines() -> list[dict[str, Any]]:
    """What the file tells and this database does not know: it comes from a backup that is older."""
    path = tombstone_file()
    if not path.exists():
        return []
    known = set(Tombstone.objects.values_list("pk", flat=True))
    return [line for line in lines_of(path) if line["id"] not in known]


def lost_rows() -> list[Tombstone]:
    """What was written to a file that is not there any more, or has been cut off."""
    rows = Tombstone.objects.filter(is_written=True)
    path = tombstone_file()
    told = {line["id"] for line in lines_of(path)} if path.exists() else set()
    return [row for row in rows.order_by("created_at", "pk") if row.pk not in told]


class NotReplayed(Exception):
    """The database brings back what was removed."""


def require_replayed() -> None:
    """For each process before it serves anybody."""
    waiting = len(unknown_lines())
    if waiting or lost_rows():
        raise NotReplayed(
            f"the list of removals in {tombstone_folder()} and the database do not agree ({waiting} removals are not "
            "repeated yet); start the platform with: cryocloud up"
        )
