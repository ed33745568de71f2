"""A process that is killed at a named point, as by the kernel: nothing is tidied up, and nothing more is written."""

from __future__ import annotations

import os
import signal

VARIABLE = "CRASH_AT"


def reached(name: str) -> None:
    """Die where the environment says so."""
    if name == os.environ.get(VARIABLE):
        os.kill(os.getpid(), signal.SIGKILL)
