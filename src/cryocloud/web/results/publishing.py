"""A finished attempt becomes a result: hashed, made durable, moved, and then told to the database."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryocloud.compute.files import read_json
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.results.models import Artifact
from cryocloud.web.results.tasks import make_previews
from cryocloud.web.runs.models import Attempt

PATH_LENGTH_MAX = 500


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
    exceptions: int


def move_result(attempt: Attempt) -> Publication:
    """Hash ``out`` and move it to its place; repeated after a crash it finds what is there and goes on.

    Files become read-only: they are the inputs of later jobs. Links are dropped, because a result holds what it shows.
    """
    out = attempt_folder(attempt.pk) / "out"
    place = result_folder(attempt.job_id, attempt.pk)
    if not place.exists():
        _settle(out)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        out.rename(place)
        _sync(place.parent)
    record = read_json(place / "job.json")
    metrics = place / "metrics.json"
    return Publication(
        files=tuple(_described(place, path) for path in _files(place)),
        metrics=read_json(metrics) if metrics.exists() else {},
        decisions=record["decisions"],
        exceptions=record["exceptions"],
    )


def _settle(out: Path) -> None:
    for folder, folders, names in os.walk(out):
        for name in (*names, *folders):
            path = Path(folder, name)
            if path.is_symlink():
                path.unlink()
            elif path.is_file():
                path.chmod(0o440)
                _sync(path)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(place: Path) -> list[Path]:
    found = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    visible = [path for path in found if not any(p.startswith(".") for p in path.relative_to(place).parts)]
    return sorted(path for path in visible if len(str(path.relative_to(place))) <= PATH_LENGTH_MAX)


def _described(place: Path, path: Path) -> ResultFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ResultFile(str(path.relative_to(place)), path.stat().st_size, digest)


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
