"""What running attempts tell of themselves, written to the database at most once a second for each."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from django.db import transaction

from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import BadRecord, open_below, parse_json
from cryocloud.compute.outcome import COUNT_MAX, is_number
from cryocloud.web.core.clock import now
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.metering.grants import note_use
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.notices import publish_job
from cryocloud.web.scheduling.pausing import claim_of, order_stop
from cryocloud.web.scheduling.records import read_beat

READ_AT_ONCE_BYTES = 4_000_000
LINE_BYTES_MAX = 64_000
MESSAGE_LENGTH = 200


@dataclass
class Reader:
    """How far the events of one attempt have been read, and what they said; a job may write anything."""

    position: int = 0
    progress: float = 0.0
    message: str = ""
    exceptions: int = 0
    changed: bool = False

    def read(self, directory: protocol.Attempt) -> None:
        """What has come since; a file that is none, and lines that are no events, tell nothing."""
        try:
            descriptor = open_below(directory.handover, directory.events_file.name)
        except (OSError, BadRecord):
            return
        try:
            fresh = os.pread(descriptor, READ_AT_ONCE_BYTES, self.position)
        finally:
            os.close(descriptor)
        complete = fresh[: fresh.rfind(b"\n") + 1]
        # A line that never ends is passed over as a whole.
        self.position += len(complete) or (len(fresh) if len(fresh) == READ_AT_ONCE_BYTES else 0)
        for line in complete.splitlines():
            if len(line) <= LINE_BYTES_MAX:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = parse_json(line, "an event")
        except BadRecord:
            return
        match event:
            case {"event": "progress", "fraction": fraction, "message": str() as message} if is_number(
                fraction
            ):
                self.progress = min(max(float(fraction), 0.0), 1.0)
                self.message = _printable(message)[:MESSAGE_LENGTH]
                self.changed = True
            case {"event": "exception"}:
                self.exceptions = min(self.exceptions + 1, COUNT_MAX)
                self.changed = True


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[: 2 * MESSAGE_LENGTH])


def follow(attempt: Attempt, reader: Reader) -> None:
    """Bring job, attempt and reservation up to date."""
    directory = protocol.Attempt(attempt_folder(attempt.pk))
    reader.read(directory)
    beat = read_beat(attempt)
    with transaction.atomic():
        if attempt.state == Attempt.State.SUBMITTED and directory.started_file.exists():
            attempt.state, attempt.started_at = Attempt.State.RUNNING, now()
            Attempt.unscoped.filter(pk=attempt.pk, state=Attempt.State.SUBMITTED).update(
                state=attempt.state, started_at=attempt.started_at
            )
        if beat and beat.wall_s > attempt.wall_s:
            attempt.wall_s = beat.wall_s
            Attempt.unscoped.filter(pk=attempt.pk, state__in=Attempt.OPEN).update(
                wall_s=beat.wall_s, cpu_s=beat.cpu_s, peak_memory_bytes=beat.memory_bytes
            )
            _take_from_grant(attempt, beat.wall_s)
        if reader.changed:
            _tell(attempt.job_id, reader)
            reader.changed = False


def _take_from_grant(attempt: Attempt, wall_s: float) -> None:
    if attempt.stopped_for:
        return
    claim = claim_of(attempt)
    shortage = note_use(claim, claim.slots * wall_s)
    if shortage is not None:
        order_stop(attempt.pk, shortage)
        attempt.stopped_for = shortage


def _tell(job_id: str, reader: Reader) -> None:
    job = Job.unscoped.select_for_update(no_key=True).get(pk=job_id)
    if job.state != Job.State.RUNNING:
        return
    job.progress, job.exceptions = reader.progress, reader.exceptions
    if (
        job.cancel_requested_at is None
        and not job.attempts.filter(state__in=Attempt.OPEN, stopped_for__gt="").exists()
    ):
        job.progress_message = reader.message
    job.save(update_fields=["progress", "exceptions", "progress_message"])
    publish_job(job)


def ask_to_stop(attempt: Attempt, grace_s: float | None = None) -> None:
    """Leave the wish to stop where runner and job look for it, once."""
    directory = protocol.Attempt(attempt_folder(attempt.pk))
    if not directory.cancel_requested():
        directory.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.request_cancel(grace_s)
        runner = directory.runner()
        if runner is not None:
            runner.signal(signal.SIGTERM)
