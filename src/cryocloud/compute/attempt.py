"""The attempt directory: the only channel between those who order a job and the runner.

``spec.json`` (the order), ``claim`` (taken once), ``started.json`` (the runner), ``body.json`` (the job
process), ``hb.json`` (heartbeat), ``cancel`` and ``exit.json``, which alone proves the end, are the runner's. The job
process writes its results and what lies in ``handover``: ``events.jsonl`` and ``outcome.json``; nobody believes them.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cryocloud.compute.files import read_json, write_json
from cryocloud.compute.foreign import BadRecord, read_json_below
from cryocloud.compute.isolation.processes import group_lives, is_living, process_stat

DONE = 0
INTERNAL_ERROR = 1
BAD_INPUT = 2
DONE_WITH_EXCEPTIONS = 3
UNTRUSTED = 4
DISK_FULL = 74
"""Only between the job process, the runner and the lane; the command line answers 1."""
CLAIM_TAKEN = 75
CANCELLED = 130

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STALE_HEARTBEAT_S = 60.0
PID_MAX = 1 << 22  # the kernel's own limit


@dataclass(frozen=True)
class AttemptSpec:
    """The order for one attempt. ``spent_*`` is what former attempts at the same job used.

    ``readable``: the absolute files and folders where the names in the job's tables may lead; None (the command
    line) means anywhere. ``names``: what people call the folders of the inputs; None on the command line, where paths
    are what people know. ``confinement``: the walls around the job process (fields of
    ``isolation.confine.Confinement``); None on the command line.
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
    confinement: dict[str, Any] | None = None
    readable: list[str] | None = None
    names: dict[str, str] | None = None

    @property
    def fault(self) -> str:
        """What people read of a fault of the program itself; the trace is for who runs the platform."""
        return (
            "a fault of the program stopped this job, not your data; run it again, and if that does not help, tell "
            f"whoever runs the platform the number {self.attempt_id}"
        )


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
        return cls(pid, _start_ticks(pid), boot_id(), socket.gethostname())

    @classmethod
    def of_record(cls, value: Any) -> ProcessIdentity:
        """From JSON; ``BadRecord`` if it names no process."""
        kinds = {"pid": int, "start_ticks": int, "boot_id": str, "host": str}
        if not isinstance(value, dict) or {name: type(one) for name, one in value.items()} != kinds:
            raise BadRecord("the record names no process")
        if not 1 < value["pid"] < PID_MAX:
            raise BadRecord(f"process {str(value['pid'])[:20]} cannot be")
        return cls(**value)

    def is_here(self) -> bool:
        """Whether it was started on this machine since the last boot."""
        return self.host == socket.gethostname() and self.boot_id == boot_id()

    def is_alive(self) -> bool:
        """Whether it runs, judged on its own machine."""
        try:
            return _start_ticks(self.pid) == self.start_ticks and is_living(process_stat(self.pid))
        except (OSError, ValueError):
            return False

    def signal(self, number: signal.Signals) -> None:
        """Signal it, if it is still the same process."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            # The number cannot pass to another process while the handle is open and this one has not been reaped.
            if self.is_here() and self.is_alive():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)

    def kill_group(self, session: int) -> bool:
        """End what lives of the group that it leads, or has led, in a session; False if that is nothing.

        While one of a group lives, no new process gets its number.
        """
        if not self.is_here() or not group_lives(self.pid, session):
            return False
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return True


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
    def handover(self) -> Path:
        """The one folder here that the job process can write."""
        return self.folder / "handover"

    @property
    def events_file(self) -> Path:
        return self.handover / "events.jsonl"

    @property
    def cancel_file(self) -> Path:
        return self.folder / "cancel"

    @property
    def outcome_file(self) -> Path:
        """What the job process has to say about its end; the runner turns it into ``exit.json``."""
        return self.handover / "outcome.json"

    @property
    def trace_file(self) -> Path:
        """On a platform, what the job process wrote to standard error: for those who run it."""
        return self.folder / "trace.txt"

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
        return self._identity(self.started_file)

    def body(self) -> ProcessIdentity | None:
        """The job process, once the runner has started it."""
        return self._identity(self.body_file)

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

    def request_cancel(self, grace_s: float | None = None) -> None:
        """With the time that the job may take to stop, if it is not the usual one; a wish that is there stays."""
        with suppress(FileExistsError), self.cancel_file.open("x", encoding="ascii") as wish:
            wish.write("" if grace_s is None else f"{grace_s:g}")

    def cancel_grace_s(self, usual_s: float) -> float:
        """How long the job may take to stop."""
        try:
            return float(self.cancel_file.read_text(encoding="ascii")[:20] or usual_s)
        except (OSError, ValueError):
            return usual_s

    def cancel_requested(self) -> bool:
        return self.cancel_file.exists()

    def _identity(self, file: Path) -> ProcessIdentity | None:
        """None as well for a record that cannot be: it proves nobody."""
        try:
            return ProcessIdentity.of_record(read_json_below(self.folder, file.name))
        except (FileNotFoundError, BadRecord):
            return None

    @staticmethod
    def _age_s(path: Path) -> float:
        return time.time() - path.stat().st_mtime


def _start_ticks(pid: int) -> int:
    return int(process_stat(pid)[19])


def boot_id() -> str:
    """Of this machine since it was started; its steady clock begins with it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
