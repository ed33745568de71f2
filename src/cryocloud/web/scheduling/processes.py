"""Ends processes of attempts, each known by its number and time of start, never by its name."""

from __future__ import annotations

import signal
import time

from cryocloud.compute.attempt import Attempt
from cryocloud.compute.isolation.cells import cell_of

END_S = 10.0
POLL_S = 0.02


def end_body(attempt: Attempt) -> None:
    """Make sure that nothing computes in the folder of an attempt whose runner is dead."""
    body, runner = attempt.body(), attempt.runner()
    deadline_s = time.monotonic() + END_S
    # The runner leads the session of both.
    while body and runner and body.kill_group(runner.pid) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    cell_of(attempt.folder.name).end()


def kill_attempt(attempt: Attempt) -> None:
    """For one that does not stop when asked: the runner first, so that it cannot tell of another end."""
    runner = attempt.runner()
    if runner is not None:
        runner.signal(signal.SIGKILL)
    end_body(attempt)
