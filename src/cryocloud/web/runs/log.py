"""The log of a job, as its owner may read it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cryocloud.compute.foreign import BadRecord, open_below
from cryocloud.compute.plain_names import without_folders
from cryocloud.web.configuration import configuration
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.runs.models import Attempt, Job

TAIL_BYTES_MAX = 1_000_000


def without_places(text: str) -> str:
    """Paths relative to the job or the dataset, of others the last part.

    What a job says was cleaned where it was said (``compute.plain_names``); this is the gate to the pages, for what
    the runner and whoever got into a job wrote.
    """
    home = configuration().home
    homes = "|".join(re.escape(str(place)) for place in (home, home.resolve()))
    own = rf"(?:{homes})/(?:attempts/\w+(?:/out|/inputs/\w+)?|results/\w+/\w+|datasets/\w+(?:/files)?)"
    return without_folders(re.sub(rf"{own}/?|(?:{homes})/?", "", text))


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
    return without_places(tail.decode("utf-8", "replace"))


def _folder(job: Job) -> Path | None:
    attempt = job.attempts.order_by("-number").first()
    if attempt is None:
        return None
    if attempt.state == Attempt.State.SUCCEEDED:
        return result_folder(job.pk, attempt.pk)
    return attempt_folder(attempt.pk) / "out"
