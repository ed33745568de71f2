"""The attempt directory: the only channel between those who order a job and the runner.

``spec.json`` (the order), ``claim`` (taken once), ``started.json`` (the runner), ``body.json`` (the job
process), ``hb.json`` (heartbeat), ``events.jsonl``, ``cancel`` and ``exit.json``, which alone proves the end.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryocloud.compute.files import read_json, write_json

DONE = 0
INTERNAL_ERROR = 1
BAD_INPUT = 2
DONE_WITH_EXCEPTIONS = 3
DISK_FULL = 74
"""Only between the job process, the runner and the lane; the command line answers 1."""
CLAIM_TAKEN = 75
CANCELLED = 130

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STALE_HEARTBEAT_S = 60.0


@dataclass(frozen=True)
class AttemptSpec:
    """The order for one attempt. ``spent_*`` is what former attempts at the same job used.

    ``readable``: the absolute files and folders where the names in the job's tables may lead; None (the command
    line) means anywhere.
    """

    attempt_id: str
    job_type: str
    version: int
    parameters: dict[str, Any]
    inputs: dict[str, str]
    out: str
    seed: int = 0
    threads: int = 1
    device: str = "auto"
    resumed: bool = False
    spent_wall_s: float = 0.0
    spent_cpu_s: float = 0.0
    fingerprints: dict[str, Any] = field(default_factory=dict)
    readable: list[str] | None = None


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be taken for a later one with the same number."""

    pid: int
    start_ticks: int
    boot_id: str
    host: str

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Of the calling process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Of a process on this machine that has not been reaped."""
        return cls(pid, _start_ticks(pid), _boot_id(), socket.gethostname())

    def is_here(self) -> bool:
        """Whether it was started on this machine since the last boot."""
        return self.host == socket.gethostname() and self.boot_id == _boot_id()

    def is_alive(self) -> bool:
        """Whether it runs, judged on its own machine."""
        try:
            return _start_ticks(self.pid) == self.start_ticks and _state(self.pid) not in "ZX"
        except OSError:
            return False


@dataclass(frozen=True)
class Attempt:
    """Paths and records of one attempt directory."""

    folder: Path

    @property
    def spec_file(self) -> Path:
        return self.folder / "spec.json"

    @property
    def claim_file(self) -> Path:
        return self.folder / "claim"

    @property
    def started_file(self) -> Path:
        return self.folder / "started.json"

    @property
    def body_file(self) -> Path:
        """Who computes: the leader of the process group that the runner started."""
        return self.folder / "body.json"

    @property
    def heartbeat_file(self) -> Path:
        return self.folder / "hb.json"

    @property
    def events_file(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def log_file(self) -> Path:
        return self.folder / "log.txt"

    @property
    def cancel_file(self) -> Path:
        return self.folder / "cancel"

    @property
    def outcome_file(self) -> Path:
        """What the job process has to say about its end; the runner turns it into ``exit.json``."""
        return self.folder / "outcome.json"

    @property
    def exit_file(self) -> Path:
        return self.folder / "exit.json"

    def write_spec(self, spec: AttemptSpec) -> None:
        write_json(self.spec_file, asdict(spec))

    def read_spec(self) -> AttemptSpec:
        return AttemptSpec(**read_json(self.spec_file))

    def take_claim(self) -> bool:
        """True for exactly one caller."""
        try:
            descriptor = os.open(self.claim_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        os.fsync(descriptor)
        os.close(descriptor)
        return True

    def write_started(self) -> None:
        write_json(self.started_file, asdict(ProcessIdentity.own()))

    def runner(self) -> ProcessIdentity | None:
        """The runner that holds the claim, if it has said who it is."""
        if not self.started_file.exists():
            return None
        return ProcessIdentity(**read_json(self.started_file))

    def body(self) -> ProcessIdentity | None:
        """The job process, once the runner has started it."""
        if not self.body_file.exists():
            return None
        return ProcessIdentity(**read_json(self.body_file))

    def is_running(self) -> bool:
        """Whether a runner works on it; from another machine only the heartbeat can tell."""
        if self.exit_file.exists() or not self.claim_file.exists():
            return False
        runner = self.runner()
        if runner is None:
            return self._age_s(self.claim_file) < STALE_HEARTBEAT_S / 6
        if runner.is_here():
            return runner.is_alive()
        beat = self.heartbeat_file if self.heartbeat_file.exists() else self.started_file
        return self._age_s(beat) < STALE_HEARTBEAT_S

    def request_cancel(self) -> None:
        self.cancel_file.touch()

    def cancel_requested(self) -> bool:
        return self.cancel_file.exists()

    @staticmethod
    def _age_s(path: Path) -> float:
        return time.time() - path.stat().st_mtime


def process_stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (field 3 of proc(5) is number 0 here)."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return text[text.rindex(")") + 2 :].split()


def _state(pid: int) -> str:
    return process_stat(pid)[0]


def _start_ticks(pid: int) -> int:
    return int(process_stat(pid)[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
