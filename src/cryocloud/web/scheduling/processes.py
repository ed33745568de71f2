"""Ends processes of attempts, each known by its number and time of start, never by its name."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from cryocloud.compute.attempt import Attempt, ProcessIdentity

END_S = 10.0
POLL_S = 0.02


def end_body(attempt: Attempt) -> None:
    """Make sure that nothing computes in the folder of an attempt whose runner is dead."""
    body = attempt.body()
    if body is None or not body.is_here():
        return
    deadline_s = time.monotonic() + END_S
    while body.is_alive() and time.monotonic() < deadline_s:
        with suppress(ProcessLookupError):
            os.killpg(body.pid, signal.SIGKILL)
        time.sleep(POLL_S)


def kill_attempt(attempt: Attempt) -> None:
    """For one that does not stop when asked: the runner first, so that it cannot tell of another end."""
    runner = attempt.runner()
    if runner is not None and runner.is_here():
        _kill(runner)
    end_body(attempt)


def _kill(process: ProcessIdentity) -> None:
    if process.is_alive():
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
