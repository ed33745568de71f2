"""Runs one attempt: ``python -m cryocloud.compute.runner ATTEMPT_DIR [--attached]``.

The runner takes the claim, starts the job body in a process group of its own, beats, passes on a
wish to stop, measures, and writes ``job.json`` and then ``exit.json``. ``--attached`` stops the job
when standard input closes, which is how a command-line run ends with the command.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryocloud import __version__
from cryocloud.compute import attempt as protocol
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.body import Body
from cryocloud.compute.context import CHECKPOINTS
from cryocloud.compute.files import write_json
from cryocloud.compute.foreign import BadRecord, read_json_below, remove_tree
from cryocloud.compute.inputs import checksum_inputs
from cryocloud.compute.isolation.graphics import graphics_class
from cryocloud.compute.isolation.processes import Use, traffic_of, traffic_of_children
from cryocloud.compute.outcome import Outcome, read_outcome
from cryocloud.compute.plain_names import PlainNames

POLL_S = 0.1
HEARTBEAT_S = 1.0
WATCH_S = 0.25
CANCEL_GRACE_S = 20.0
CANCELLED_MESSAGE = "stopped; it goes on from the last checkpoint when it is run again"
KILLED_MESSAGE = (
    "the system ended the job, most likely because memory ran out; use a smaller box, fewer classes or a "
    "machine with more memory, then run the same command again: it goes on from the last checkpoint"
)
MEMORY, LIMIT = "memory", "limit"
"""Causes that only the runner knows."""
_SET_CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h


def main(arguments: list[str]) -> int:
    attempt = Attempt(Path(arguments[0]).absolute())
    spec = attempt.read_spec()
    if not attempt.take_claim():
        print(f"{attempt.folder}: another runner has this attempt", file=sys.stderr)
        return protocol.CLAIM_TAKEN
    attempt.write_started()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What a job starts and leaves behind becomes a child of this process, which sweeps it away.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if "--attached" in arguments:
        threading.Thread(target=_stop_when_owner_ends, args=(attempt, stop), daemon=True).start()
    return _Run(attempt, spec, stop).conclude()


def _stop_when_owner_ends(attempt: Attempt, stop: threading.Event) -> None:
    while os.read(0, 1):
        pass
    stop.set()
    attempt.request_cancel()  # tells the next command that this attempt is about to end


class _Checksums(threading.Thread):
    """Reads all inputs while the job computes: terabytes take longer than a person waits for a first sign of life."""

    def __init__(self, spec: AttemptSpec) -> None:
        super().__init__(daemon=True)
        self.spec = spec
        self.found: dict[str, Any] = {}
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            self.found = checksum_inputs(self.spec.inputs, self.spec.readable, PlainNames.of(self.spec))
        except OSError as error:
            self.error = error

    def wait(self) -> dict[str, Any]:
        self.join()
        if self.error is not None:
            raise self.error
        return self.found


class _Run:
    """The job process and its accounts."""

    def __init__(self, attempt: Attempt, spec: AttemptSpec, stop: threading.Event) -> None:
        self.attempt = attempt
        self.stop = stop
        self.spec = spec
        self.out = Path(spec.out)
        self.cancelled_at_s: float | None = None
        self.killed = self.cause = ""
        self.peak_memory_bytes = 0
        self.out.mkdir(parents=True, exist_ok=True)
        self.checksums = _Checksums(spec)
        self.traffic_before = traffic_of(os.getpid())
        self.began_s = self.ended_s = time.monotonic()
        self.body = Body(attempt, spec)
        write_json(attempt.body_file, asdict(protocol.ProcessIdentity.of(self.body.pid)))
        self.checksums.start()

    def conclude(self) -> int:
        """Wait for the job body, write the records of its end, return the exit code."""
        beat_s = watch_s = -math.inf
        while not self.body.has_ended():
            now_s = time.monotonic()
            if now_s - watch_s >= (HEARTBEAT_S if self.body.cell.groups else WATCH_S):
                watch_s, use = now_s, self.body.use()
                self._hold_limits(use)
                if now_s - beat_s >= HEARTBEAT_S:
                    beat_s = now_s
                    self._beat(use)
            self._stop_if_asked(now_s)
            self.body.wait(POLL_S)
        self.ended_s = time.monotonic()
        return self._write_end(self.body.sweep())

    def _hold_limits(self, use: Use) -> None:
        """The sum over the processes of a job; the kernel alone limits each of them, or all where there are cells."""
        self.peak_memory_bytes = max(self.peak_memory_bytes, use.memory_bytes)
        walls = self.body.confinement
        if walls is None or self.killed:
            return
        if use.memory_bytes > walls.memory_bytes:
            self._kill(
                f"the job needed more than the {walls.memory_bytes / 2**30:.1f} GiB of memory that it may use",
                MEMORY,
            )
        elif use.cpu_s > walls.cpu_s:
            self._kill(
                f"the job used more than the {walls.cpu_s / 3600:,.0f} hours of processor time that it may use",
                LIMIT,
            )
        elif use.processes > walls.processes:
            self._kill(f"the job started more than {walls.processes} processes and was stopped", LIMIT)

    def _kill(self, why: str, cause: str = "") -> None:
        self.killed, self.cause = why, cause
        self.body.kill()

    def _stop_if_asked(self, now_s: float) -> None:
        if not (self.stop.is_set() or self.attempt.cancel_requested()):
            return
        if self.cancelled_at_s is None:
            self.cancelled_at_s = now_s
            self.body.ask_to_stop()
        elif now_s - self.cancelled_at_s > self.attempt.cancel_grace_s(CANCEL_GRACE_S) and not self.killed:
            self._kill(CANCELLED_MESSAGE)

    def _beat(self, use: Use) -> None:
        beat = {
            **self._interval(time.monotonic()),
            "cpu_s": use.cpu_s,
            "memory_bytes": use.memory_bytes,
            **asdict(traffic_of_children()),
        }
        with suppress(OSError):  # a full disk is the job's to report, not the heartbeat's
            write_json(self.attempt.heartbeat_file, beat)

    def _interval(self, until_s: float) -> dict[str, Any]:
        """From the start of the job process on, by the steady clock, which nobody sets."""
        return {
            "boot_id": protocol.boot_id(),
            "from_s": self.began_s,
            "until_s": until_s,
            "wall_s": until_s - self.began_s,
        }

    def _write_end(self, status: int) -> int:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome = self._outcome(status)
        spent = {
            "wall_s": round(self.ended_s - self.began_s, 3),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_memory_bytes": max(self.peak_memory_bytes, usage.ru_maxrss * 1024),
        }
        end = {
            "code": outcome.code,
            "message": outcome.message,
            "cause": self.cause,
            "finished_at_s": time.time(),
            **spent,
            **self._interval(self.ended_s),
            **asdict(traffic_of(os.getpid()).since(self.traffic_before)),
            **self._graphics(outcome),
        }
        try:
            if outcome.code in (protocol.DONE, protocol.DONE_WITH_EXCEPTIONS):
                record = self.out / "job.json"
                if record.is_dir() and not record.is_symlink():
                    remove_tree(record)
                write_json(record, self._job_record(outcome, spent))
                remove_tree(self.out / CHECKPOINTS)
            write_json(self.attempt.exit_file, end)
        except OSError as error:
            print(f"{self.out}: the end could not be recorded: {error}", file=sys.stderr)
            return protocol.DISK_FULL if error.errno in protocol.DISK_FULL_ERRORS else protocol.INTERNAL_ERROR
        return outcome.code

    def _graphics(self, outcome: Outcome) -> dict[str, Any]:
        """A job that may have used a GPU and could not say so is taken to have used it."""
        on_gpu = self.spec.device != "cpu" and outcome.device != "cpu"
        name = graphics_class() if on_gpu else ""
        return {"gpus": int(bool(name)), "gpu_class": name}

    def _outcome(self, status: int) -> Outcome:
        """What the job process wrote as its last word, or what the way it ended tells."""
        try:
            return read_outcome(read_json_below(self.attempt.handover, self.attempt.outcome_file.name))
        except FileNotFoundError:
            return self._outcome_without_word(status)
        except BadRecord as error:
            return Outcome(protocol.INTERNAL_ERROR, f"the job left a record that cannot be read: {error}")

    def _outcome_without_word(self, status: int) -> Outcome:
        log = self.out / "log.txt"
        if self.cancelled_at_s is not None and status < 0:
            return Outcome(protocol.CANCELLED, CANCELLED_MESSAGE)
        if self.killed:
            return Outcome(protocol.INTERNAL_ERROR, self.killed)
        if status == -signal.SIGKILL:
            self.cause = MEMORY
            return Outcome(protocol.INTERNAL_ERROR, KILLED_MESSAGE)
        if status == protocol.DISK_FULL:
            return Outcome(status, f"disk full at {self.out}; free some space and run it again")
        if self.spec.names is not None:
            return Outcome(protocol.INTERNAL_ERROR, self.spec.fault)
        how = f"by signal {-status}" if status < 0 else f"with code {status} and without a word"
        if -status in set(signal.Signals):
            how = f"by {signal.Signals(-status).name}"
        return Outcome(protocol.INTERNAL_ERROR, f"the job process ended {how}; see {log}")

    def _job_record(self, outcome: Outcome, spent: dict[str, float]) -> dict[str, Any]:
        spec = self.spec
        return {
            "type": spec.job_type,
            "version": spec.version,
            "state": "done" if outcome.code == protocol.DONE else "completed with exceptions",
            "parameters": spec.parameters,
            "inputs": self.checksums.wait(),
            "engine_version": __version__,
            "seed": spec.seed,
            "threads": spec.threads,
            "device": outcome.device,
            "wall_s": round(spec.spent_wall_s + spent["wall_s"], 3),
            "cpu_s": round(spec.spent_cpu_s + spent["cpu_s"], 3),
            "peak_memory_bytes": spent["peak_memory_bytes"],
            "exceptions": outcome.exceptions,
            "decisions": outcome.decisions,
            "warnings": outcome.warnings,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
