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


# Elsewhere a slash is part of a unit (e/px/s), of a relative name or of an address (https://).
_ABSOLUTE_PATH = re.compile(r"""(?:^|(?<=[\s"'(=,:<>\[]))/(?:[^\s/:'"()<>,;]+/)+""")


def without_folders(text: str) -> str:
    """Paths relative to the job or the dataset, of others the last part: where things lie on the server is nobody's
    business.
    """
    home = configuration().home
    homes = "|".join(re.escape(str(place)) for place in (home, home.resolve()))
    own = rf"(?:{homes})/(?:attempts/\w+(?:/out|/inputs/\w+)?|results/\w+/\w+|datasets/\w+(?:/files)?)"
    return _ABSOLUTE_PATH.sub("", re.sub(rf"{own}/?|(?:{homes})/?", "", text))


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
