"""Where the files of a job lie, and what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db.models import QuerySet, Sum

from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.catalog.files import meaning_of
from cryocloud.web.configuration import configuration
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.core.zip_stream import ZipMember
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job


@dataclass(frozen=True)
class ResultFile:
    """An artifact as a list shows it."""

    artifact: Artifact
    meaning: str
    is_main: bool


def job_folder(job: Job) -> Path | None:
    """The published result; while there is none, what the open attempt has written so far."""
    attempts = job.attempts.order_by("-number")
    succeeded = attempts.filter(state=Attempt.State.SUCCEEDED).first()
    if succeeded is not None:
        folder = result_folder(job.pk, succeeded.pk)
    else:
        open_attempt = attempts.filter(state__in=Attempt.OPEN).first()
        if open_attempt is None:
            return None
        folder = attempt_folder(open_attempt.pk) / "out"
    return folder if folder.is_dir() else None


def preview_folder_of(job: Job) -> Path:
    """Beside the results, so that they go together."""
    return configuration().home / "results" / job.pk / ".previews"


def artifacts_of(job: Job) -> list[ResultFile]:
    """What the job left: its main outputs first, plots and records last."""
    main = _outputs(job.job_type)
    rows = Artifact.unscoped.filter(job=job, attempt__state=Attempt.State.SUCCEEDED)
    files = [ResultFile(row, meaning_of(row.path), row.path in main) for row in rows]
    return sorted(files, key=_rank)


def _rank(file: ResultFile) -> tuple[bool, bool, bool, str]:
    path = file.artifact.path
    return not file.is_main, path.startswith("."), "/" in path, path


def marked_name(job: Job, name: str) -> str:
    """A file's name once it has left the platform, where no banner goes with it."""
    if job.doubt:
        return f"not-to-be-trusted {name}"
    return f"control {name}" if job.control else name


def artifact_file(artifact: Artifact) -> Path:
    return result_folder(artifact.job_id, artifact.attempt_id) / artifact.path


def artifacts_in(jobs: Iterable[Job]) -> QuerySet[Artifact]:
    """What the jobs left, in their order."""
    rows = Artifact.unscoped.filter(job__in=jobs, attempt__state=Attempt.State.SUCCEEDED)
    return rows.order_by("job__number", "path")


def size_of(artifacts: QuerySet[Artifact]) -> int:
    return artifacts.aggregate(total=Sum("size_bytes"))["total"] or 0


def zip_members(artifacts: Sequence[Artifact]) -> list[ZipMember]:
    return [ZipMember(row.path, artifact_file(row), row.size_bytes, row.sha256) for row in artifacts]


def _outputs(job_type: str) -> frozenset[str]:
    try:
        return frozenset(load_job_type(job_type).outputs)
    except UnknownName:
        return frozenset()
