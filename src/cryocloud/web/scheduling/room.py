"""While the disk is low: no job starts, and the one that fills the disk is stopped."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import remove_tree
from cryocloud.web.core import disk_room
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.notices import publish_job
from cryocloud.web.scheduling.ending import Ending, lost_ending, read_ending
from cryocloud.web.scheduling.processes import kill_attempt

WAITS = "waits: the disk of the server is full; it starts by itself when there is room"
STOPPED = (
    "Stopped, because the disk of the server was nearly full and this job had written the most. What it had written "
    "was removed. Retry the job when there is room, with fewer data if it happens again."
)
# A job that has written less does not fill a disk.
SHARE_OF_RESERVE = 0.25
ENTRIES_MAX = 200_000


def tell_those_who_wait() -> None:
    """Say on jobs in the queue why they do not start, or take that back."""
    waiting = Job.unscoped.filter(state=Job.State.QUEUED)
    held = disk_room.is_low()
    changed = waiting.exclude(progress_message=WAITS) if held else waiting.filter(progress_message=WAITS)
    for job in changed:
        job.progress_message = WAITS if held else ""
        Job.unscoped.filter(pk=job.pk, state=Job.State.QUEUED).update(progress_message=job.progress_message)
        publish_job(job)


def attempt_that_fills() -> Attempt | None:
    """Of the organization whose running jobs have written the most, the attempt with the largest part of it."""
    found = disk_room.room()
    at_work = [one for one in Attempt.unscoped.filter(state__in=Attempt.OPEN) if read_ending(one) is None]
    written = {one: _written(attempt_folder(one.pk)) for one in at_work}
    shares = {
        one: max(
            size_bytes / max(1, found.reserved_bytes),
            entries / found.reserved_inodes if found.reserved_inodes else 0.0,
        )
        for one, (size_bytes, entries) in written.items()
    }
    of_organization: defaultdict[str, float] = defaultdict(float)
    for one, share in shares.items():
        of_organization[one.organization_id] += share
    largest = max(shares, key=lambda one: (of_organization[one.organization_id], shares[one]), default=None)
    return largest if largest is not None and shares[largest] > SHARE_OF_RESERVE else None


def stop_and_clear(attempt: Attempt) -> Ending:
    """End the processes of an attempt and remove what it has written; it is measured up to its last heartbeat."""
    directory = protocol.Attempt(attempt_folder(attempt.pk))
    kill_attempt(directory)
    ending = replace(lost_ending(attempt), code=protocol.DISK_FULL, message=STOPPED)
    for name in ("out", "tmp"):
        remove_tree(directory.folder / name)
    return ending


def _written(folder: Path) -> tuple[int, int]:
    """Bytes on the disk and entries; of a folder made to be walked for ever, as many as tell enough."""
    size_bytes = entries = 0
    for parent, _, names in os.walk(folder):
        entries += 1
        for name in names:
            with suppress(OSError):
                size_bytes += 512 * Path(parent, name).lstat().st_blocks
            entries += 1
            if entries > ENTRIES_MAX:
                return size_bytes, entries
    return size_bytes, entries
