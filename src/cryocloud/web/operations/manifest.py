"""The list of a backup's files with their SHA-256, a JSON line each, and the summary that vouches for the list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

FORMAT = 1
LIST = "manifest.jsonl"
SUMMARY = "backup.json"
FILES = "files"


class BackupError(Exception):
    """Why a backup cannot be made or used; names the file and the remedy."""


@dataclass(frozen=True)
class Entry:
    """A file of the home. One with ``same_as`` is a hard link to an entry before it and has no bytes of its own."""

    path: str
    size_bytes: int
    sha256: str
    same_as: str = ""


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(folder: Path, entries: Iterable[Entry], **facts: object) -> None:
    """The summary comes last: a folder without it is no backup."""
    listed = list(entries)
    (folder / LIST).write_text("".join(json.dumps(asdict(one)) + "\n" for one in listed), encoding="utf-8")
    summary = {
        "format": FORMAT,
        **facts,
        "files": len(listed),
        "bytes": sum(one.size_bytes for one in listed if not one.same_as),
        "manifest_sha256": file_sha256(folder / LIST),
    }
    (folder / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def removals_noted(folder: Path) -> Path | None:
    """Where the platform kept its list of removals when the backup was made; not in the backup, on purpose."""
    path = json.loads((folder / SUMMARY).read_text(encoding="utf-8")).get("removals")
    return Path(path) if path else None


def read_manifest(folder: Path) -> list[Entry]:
    """All entries, checked against the summary; paths that lead out of the folder are refused."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise BackupError(f"{folder} is no complete backup ({error}); choose another one") from None
    if summary.get("format") != FORMAT:
        raise BackupError(f"{folder} has format {summary.get('format')}; this version reads format {FORMAT}")
    if summary.get("manifest_sha256") != file_sha256(folder / LIST):
        raise BackupError(f"{folder / LIST} has been changed since the backup was made; choose another one")
    entries = [Entry(**json.loads(line)) for line in lines]
    for entry in entries:
        for path in (entry.path, entry.same_as):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise BackupError(f"{folder / LIST} names {path}, which leads out of the home")
    return entries
