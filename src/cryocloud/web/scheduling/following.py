"""What running attempts tell of themselves, written to the database at most once a second for each."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass

from django.db import transaction

from cryocloud.compute import attempt as protocol
from cryocloud.compute.files import read_json
from cryocloud.web.core.clock import now
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.metering.services import note_running
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.notices import publish_job

READ_AT_ONCE_BYTES = 4_000_000
MESSAGE_LENGTH = 200


@dataclass
class Reader:
    """How far the events of one attempt have been read, and what they said."""

    position: int = 0
    progress: float = 0.0
    message: str = ""
    exceptions: int = 0
    changed: bool = False

    def read(self, directory: protocol.Attempt) -> None:
        with suppress(FileNotFoundError), directory.events_file.open("rb") as stream:
            stream.seek(self.position)
            fresh = stream.read(READ_AT_ONCE_BYTES)
            complete = fresh[: fresh.rfind(b"\n") + 1]
            self.position += len(complete)
            for line in complete.splitlines():
                self._take(json.loads(line))

    def _take(self, event: dict[str, object]) -> None:
        self.changed = True
        match event:
            case {"event": "progress", "fraction": float() | int() as fraction, "message": str() as message}:
                self.progress, self.message = float(fraction), message[:MESSAGE_LENGTH]
            case {"event": "exception"}:
                self.exceptions += 1


def follow(attempt: Attempt, reader: Reader) -> None:
    """Bring job, attempt and reservation up to date."""
    directory = protocol.Attempt(attempt_folder(attempt.pk))
    reader.read(directory)
    beat = read_json(directory.heartbeat_file) if directory.heartbeat_file.exists() else None
    with transaction.atomic():
        if attempt.state == Attempt.State.SUBMITTED and directory.started_file.exists():
            attempt.state, attempt.started_at = Attempt.State.RUNNING, now()
            Attempt.unscoped.filter(pk=attempt.pk, state=Attempt.State.SUBMITTED).update(
                state=attempt.state, started_at=attempt.started_at
            )
        if beat and beat["wall_s"] > attempt.wall_s:
            attempt.wall_s = beat["wall_s"]
            Attempt.unscoped.filter(pk=attempt.pk, state__in=Attempt.OPEN).update(
                wall_s=beat["wall_s"], cpu_s=beat["cpu_s"], peak_memory_bytes=beat["memory_bytes"]
            )
            note_running(attempt.pk, beat["wall_s"])
        if reader.changed:
            _tell(attempt.job_id, reader)
            reader.changed = False


def _tell(job_id: str, reader: Reader) -> None:
    job = Job.unscoped.select_for_update().get(pk=job_id)
    if job.state != Job.State.RUNNING:
        return
    job.progress, job.exceptions = reader.progress, reader.exceptions
    if job.cancel_requested_at is None:
        job.progress_message = reader.message
    job.save(update_fields=["progress", "exceptions", "progress_message"])
    publish_job(job)


def ask_to_stop(attempt: Attempt) -> float:
    """Leave the wish to stop where runner and job look for it; how long ago it was left, in seconds."""
    directory = protocol.Attempt(attempt_folder(attempt.pk))
    if not directory.cancel_requested():
        directory.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.request_cancel()
        runner = directory.runner()
        if runner is not None and runner.is_here() and runner.is_alive():
            with suppress(ProcessLookupError):
                os.kill(runner.pid, 15)
    return now().timestamp() - directory.cancel_file.stat().st_mtime
