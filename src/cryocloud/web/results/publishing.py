"""A finished attempt becomes a result: hashed, made durable, moved, and then told to the database."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryocloud.compute.foreign import BadRecord, open_below, read_json_below, remove_tree
from cryocloud.compute.outcome import checked_count, checked_decisions, checked_metrics, checked_warnings
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.core.zip_stream import MANIFEST
from cryocloud.web.results.models import Artifact
from cryocloud.web.results.tasks import make_previews
from cryocloud.web.runs.models import Attempt

PATH_LENGTH_MAX = 500
ENTRIES_MAX = 200_000
DROPPED_MAX = 1000
DEPTH_MAX = 16
HOLES_FACTOR = 64
HOLES_BYTES = 1 << 30


@dataclass(frozen=True)
class ResultFile:
    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Publication:
    """What lies in the result folder."""

    files: tuple[ResultFile, ...]
    metrics: dict[str, Any]
    decisions: list[dict[str, Any]]
    warnings: list[str]
    exceptions: int


def move_result(attempt: Attempt) -> Publication:
    """Hash ``out`` and move it to its place; repeated after a crash it finds what is there and goes on.

    A job wrote it: what is no file of its own, or has no plain name, is dropped. Files become read-only, because they
    are the inputs of later jobs. Raises ``BadRecord`` for records that cannot be.
    """
    out = attempt_folder(attempt.pk) / "out"
    place = result_folder(attempt.job_id, attempt.pk)
    if not place.exists():
        _settle(out)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        out.rename(place)
        _sync(place.parent)
    try:
        record = read_json_below(place, "job.json")
    except FileNotFoundError:
        raise BadRecord("job.json is missing") from None
    if not isinstance(record, dict):
        raise BadRecord("job.json is no object")
    return Publication(
        files=tuple(_described(place, path) for path in _files(place)),
        metrics=_metrics(place),
        decisions=list(checked_decisions(record.get("decisions", []))),
        warnings=list(checked_warnings(record.get("warnings", []))),
        exceptions=checked_count(record.get("exceptions", 0), "exceptions"),
    )


def _metrics(place: Path) -> dict[str, float | None]:
    try:
        return checked_metrics(read_json_below(place, "metrics.json"))
    except FileNotFoundError:
        return {}


def _settle(out: Path) -> None:
    """Keep folders and plain files, in this order: what a folder holds can be seen only once it can be entered.

    Entries are counted as they come: a folder of millions would not fit into memory as a list.
    """
    out.chmod(0o700)
    count = dropped = size_bytes = stored_bytes = 0
    waiting = [(out, 0)]
    while waiting:
        folder, depth = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                count += 1
                facts = entry.stat(follow_symlinks=False)
                if not _is_kept(entry.name, facts, depth):
                    dropped += 1
                    _drop(Path(entry.path), facts)
                elif stat.S_ISDIR(facts.st_mode):
                    Path(entry.path).chmod(0o700)
                    waiting.append((Path(entry.path), depth + 1))
                else:
                    Path(entry.path).chmod(0o440)
                    _sync(Path(entry.path))
                    size_bytes, stored_bytes = (
                        size_bytes + facts.st_size,
                        stored_bytes + 512 * facts.st_blocks,
                    )
                _require_few(count, dropped)
        _sync(folder)
    # Holes cost a job nothing, but whoever reads them reads zeros for days.
    if size_bytes > HOLES_FACTOR * stored_bytes + HOLES_BYTES:
        raise BadRecord(f"the results are {size_bytes / 1e9:,.0f} GB of holes")


def _is_kept(name: str, facts: os.stat_result, depth: int) -> bool:
    if not _is_plain(name):
        return False
    if stat.S_ISDIR(facts.st_mode):
        return depth < DEPTH_MAX
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1


def _drop(path: Path, facts: os.stat_result) -> None:
    if stat.S_ISDIR(facts.st_mode):
        remove_tree(path)
    else:
        path.unlink()


def _require_few(count: int, dropped: int) -> None:
    """Each entry takes time while the slot waits."""
    if count > ENTRIES_MAX:
        raise BadRecord(f"the results are more than {ENTRIES_MAX:,} files and folders")
    if dropped > DROPPED_MAX:
        raise BadRecord(
            f"more than {DROPPED_MAX:,} of the results are links, pipes or names that nobody can show"
        )


def _is_plain(name: str) -> bool:
    """A name that every database, archive and page can show."""
    is_text = name.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in name)
    return is_text and "\\" not in name and name != MANIFEST


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(place: Path) -> list[str]:
    found = [path.relative_to(place) for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    visible = [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]
    return sorted(path for path in visible if len(path) <= PATH_LENGTH_MAX)


def _described(place: Path, path: str) -> ResultFile:
    with os.fdopen(open_below(place, path), "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return ResultFile(path, os.fstat(stream.fileno()).st_size, digest)


def record_result(attempt: Attempt, publication: Publication) -> None:
    """The artifacts of an attempt, in the transaction that ends it; pictures of them are made afterwards."""
    Artifact.unscoped.bulk_create(
        Artifact(
            organization_id=attempt.organization_id,
            job_id=attempt.job_id,
            attempt=attempt,
            path=file.path,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
        )
        for file in publication.files
    )
    make_previews.enqueue(attempt.job_id, organization_id=attempt.organization_id)
