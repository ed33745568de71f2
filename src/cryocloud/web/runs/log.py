"""The log of a job, as its owner may read it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cryocloud.compute.foreign import BadRecord, open_below
from cryocloud.web.configuration import configuration
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.runs.models import Attempt, Job

TAIL_BYTES_MAX = 1_000_000


def without_folders(text: str) -> str:
    """Paths relative to the job or the dataset: where things lie on the server is nobody's business."""
    home = re.escape(str(configuration().home))
    own = rf"{home}/(?:attempts/\w+(?:/out|/inputs/\w+)?|results/\w+/\w+|datasets/\w+(?:/files)?)"
    return re.sub(rf"{own}/?|{home}/?", "", text)


def log_tail(job: Job, count_bytes: int) -> str:
    """The last whole lines of the latest attempt's log."""
    folder = _folder(job)
    try:
        descriptor = None if folder is None else open_below(folder, "log.txt")
    except (OSError, BadRecord):
        return ""
    if descriptor is None:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - count_bytes))
        tail = stream.read(count_bytes)
    if size > len(tail):
        tail = tail[tail.find(b"\n") + 1 :]
    return without_folders(tail.decode("utf-8", "replace"))


def _folder(job: Job) -> Path | None:
    attempt = job.attempts.order_by("-number").first()
    if attempt is None:
        return None
    if attempt.state == Attempt.State.SUCCEEDED:
        return result_folder(job.pk, attempt.pk)
    return attempt_folder(attempt.pk) / "out"
