"""A process that is started again, after growing pauses, as long as its parent wants it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

FIRST_PAUSE_S = 0.5
PAUSE_MAX_S = 30.0
STEADY_S = 60.0
GRACE_S = 15.0
BEGIN_MAX_S = 120.0
# A parent that did not look for so long was itself stopped, with the machine or by hand: silence then proves nothing.
NOT_LOOKED_S = 5.0
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h

_log = logging.getLogger("cryocloud.up")
_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """One of the platform's processes."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        open_log: Callable[[], IO[bytes]],
        *,
        frozen_after_s: float,
        keep: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self._command = list(command)
        self._open_log = open_log
        self._keep = keep
        self._frozen_after_s = frozen_after_s
        self._heartbeat: int | None = None
        self._silent_until_s = 0.0
        self._looked_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._began_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._start_at_s = 0.0

    def start(self) -> None:
        self._began_s = self._looked_s = time.monotonic()
        self._silent_until_s = self._began_s + max(BEGIN_MAX_S, self._frozen_after_s)
        listening, beating = os.pipe()
        os.set_blocking(listening, False)
        os.set_blocking(beating, False)
        with self._open_log() as log, os.fdopen(beating, "wb"):
            self._process = subprocess.Popen(
                [*self._command, "--heartbeat", str(beating)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(*self._keep, beating),
                start_new_session=True,  # Ctrl-C reaches the parent, which ends the children in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # the parent has one thread
            )
        self._heartbeat = listening
        _log.info("started", extra={"child": self.name, "pid": self._process.pid})

    def keep_alive(self) -> None:
        """Start again what has ended, once its pause is over; end what gives no sign of life."""
        moment_s = time.monotonic()
        if self._process is None:
            if moment_s >= self._start_at_s:
                self.start()
            return
        code = self._process.poll()
        if code is None:
            self._end_if_frozen(self._process, moment_s)
            return
        self._close_heartbeat()
        steady = moment_s - self._began_s > STEADY_S
        self._pause_s = FIRST_PAUSE_S if steady else min(2 * self._pause_s, PAUSE_MAX_S)
        self._process, self._start_at_s = None, moment_s + self._pause_s
        _log.warning("ended", extra={"child": self.name, "code": code, "starts_again_in_s": self._pause_s})

    def _end_if_frozen(self, process: subprocess.Popen[bytes], moment_s: float) -> None:
        assert self._heartbeat is not None
        with suppress(BlockingIOError):
            if os.read(self._heartbeat, 65536):
                self._silent_until_s = moment_s + self._frozen_after_s
        if moment_s - self._looked_s > NOT_LOOKED_S:
            self._silent_until_s = max(self._silent_until_s, moment_s + self._frozen_after_s)
        self._looked_s = moment_s
        if moment_s > self._silent_until_s:
            _log.error("frozen", extra={"child": self.name, "pid": process.pid})
            process.kill()

    def _close_heartbeat(self) -> None:
        if self._heartbeat is not None:
            os.close(self._heartbeat)
            self._heartbeat = None

    def ask_to_end(self) -> None:
        if self._process:
            self._process.terminate()

    def wait_end(self, deadline_s: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.warning("killed", extra={"child": self.name})
            self._process.kill()
            self._process.wait()


def end_all(children: Sequence[Child]) -> None:
    """Ask all, then wait for all."""
    for child in children:
        child.ask_to_end()
    deadline_s = time.monotonic() + GRACE_S
    for child in children:
        child.wait_end(deadline_s)


def _end_with_parent() -> None:
    """A parent that is killed takes its children along, so that the next one finds the home free."""
    _libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
