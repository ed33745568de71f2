"""While the disk is low: no job starts, and the one that fills the disk is stopped."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from cryocloud.compute import attempt as protocol
from cryocloud.compute.foreign import remove_tree
from cryocloud.compute.isolation.processes import written_by
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
DEPTH_MAX = 64
ENDLESS = (math.inf, math.inf)
WRITTEN = ("out", "tmp", "handover")


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
    """Of the organization whose running jobs hold the most, the attempt with the largest part of it.

    Where none holds much, the one whose processes have written the most: files that were removed while they are open
    can be seen by nobody.
    """
    at_work = [one for one in Attempt.unscoped.filter(state__in=Attempt.OPEN) if read_ending(one) is None]
    return _largest(at_work, _held) or _largest(at_work, _written)


def _largest(at_work: list[Attempt], measure: Callable[[Path], tuple[float, float]]) -> Attempt | None:
    found = disk_room.room()
    measured = {one: measure(attempt_folder(one.pk)) for one in at_work}
    shares = {
        one: max(
            size_bytes / max(1, found.reserved_bytes),
            entries / found.reserved_inodes if found.reserved_inodes else 0.0,
        )
        for one, (size_bytes, entries) in measured.items()
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
    for name in WRITTEN:
        remove_tree(directory.folder / name)
    return ending


def _held(folder: Path) -> tuple[float, float]:
    """Bytes on the disk and entries; endless for folders that are made to be walked for ever, or by nobody."""
    size_bytes = entries = 0
    waiting = [(folder / name, 0) for name in WRITTEN]
    while waiting:
        parent, depth = waiting.pop()
        try:
            with os.scandir(parent) as found:
                for entry in found:
                    entries += 1
                    with suppress(FileNotFoundError):
                        size_bytes += 512 * entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((Path(entry.path), depth + 1))
                    if entries > ENTRIES_MAX or depth > DEPTH_MAX:
                        return ENDLESS
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return ENDLESS
    return size_bytes, entries


def _written(folder: Path) -> tuple[float, float]:
    runner = protocol.Attempt(folder).runner()
    return (written_by(runner.pid) if runner is not None and runner.is_alive() else 0), 0
