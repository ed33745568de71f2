"""The job process, as the runner holds it: started behind its walls, watched, asked to stop, swept away."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.foreign import open_to_append
from cryocloud.compute.isolation.cells import Cell, make_cell
from cryocloud.compute.isolation.confine import (
    ENVIRONMENT,
    THREAD_LIMITS,
    Confinement,
    kept_environment,
    own_status,
    start_confined,
)
from cryocloud.compute.isolation.processes import Use, tree_of, use_of_children

COMMAND_LINE_ENVIRONMENT = (*ENVIRONMENT, "HOME", "TMPDIR", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")
ASK_TO_STOP = b"c"
SWEEP_S = 10.0


class Body:
    """A child of the runner; with walls, it and all that it starts end together."""

    def __init__(self, attempt: Attempt, spec: AttemptSpec) -> None:
        self.confinement = None if spec.confinement is None else Confinement.of(spec.confinement)
        self.cell = Cell(())
        attempt.handover.mkdir(exist_ok=True, mode=0o700)
        log = open_to_append(Path(spec.out) / "log.txt")
        # Traces name places of the server: they are for who runs it, and no result.
        trace = log if spec.names is None else open_to_append(attempt.trace_file)
        arguments = ["cryocloud.jobs", str(attempt.folder)]
        try:
            self.child = (
                self._start_walled(attempt, arguments, log, trace)
                if self.confinement
                else _start(spec, arguments, log, trace)
            )
        finally:
            for descriptor in {log, trace}:
                os.close(descriptor)
        self.handle = os.pidfd_open(self.child.pid)

    def _start_walled(
        self, attempt: Attempt, arguments: list[str], log: int, trace: int
    ) -> subprocess.Popen[bytes]:
        assert self.confinement is not None
        walls = self.confinement
        self.cell = make_cell(attempt.folder.name, memory_bytes=walls.memory_bytes, processes=walls.processes)
        return start_confined(walls, self.cell, arguments, stdin=subprocess.PIPE, stdout=log, stderr=trace)

    @property
    def pid(self) -> int:
        return self.child.pid

    def has_ended(self) -> bool:
        """Without reaping: the process group stays ours until it has been swept."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, most_s: float) -> None:
        """So long, or until it ends: the end is metered when it comes, not when somebody looks again."""
        select.select([self.handle], [], [], most_s)

    def use(self) -> Use:
        return use_of_children()

    def ask_to_stop(self) -> None:
        """Through the pipe that also tells it of our death: signals end at the wall."""
        assert self.child.stdin is not None
        with suppress(OSError):
            os.write(self.child.stdin.fileno(), ASK_TO_STOP)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def sweep(self) -> int:
        """Leave nothing of it behind; its exit status, negative for the signal that ended it."""
        self.kill()
        status = self.child.wait()
        os.close(self.handle)
        deadline_s = time.monotonic() + SWEEP_S
        while (left := tree_of(os.getpid())[1:]) and time.monotonic() < deadline_s:
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            _reap()
        self.cell.end()
        return own_status(self.confinement, status)


def _reap() -> None:
    """What has become a child of this process because its parent ended before it."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _start(spec: AttemptSpec, arguments: list[str], log: int, trace: int) -> subprocess.Popen[bytes]:
    """Without walls: a person's own job on their own machine."""
    environment = kept_environment(COMMAND_LINE_ENVIRONMENT)
    environment |= dict.fromkeys(THREAD_LIMITS, str(spec.threads)) | {"OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.PIPE, stdout=log, stderr=trace, env=environment, process_group=0,
    )  # fmt: skip
