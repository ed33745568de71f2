"""Runs one attempt: ``python -m cryocloud.compute.runner ATTEMPT_DIR [--attached]``.

The runner takes the claim, starts the job body in a process group of its own, beats, passes on a
wish to stop, measures, and writes ``job.json`` and then ``exit.json``. ``--attached`` stops the job
when standard input closes, which is how a command-line run ends with the command.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
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
from cryocloud.compute.context import CHECKPOINTS
from cryocloud.compute.files import read_json, write_json
from cryocloud.compute.inputs import checksum_inputs

POLL_S = 0.1
HEARTBEAT_S = 1.0
CANCEL_GRACE_S = 20.0
CANCELLED_MESSAGE = "cancelled; run the same command again to go on from the last checkpoint"
KILLED_MESSAGE = (
    "the system ended the job, most likely because memory ran out; use a smaller box, fewer classes or a "
    "machine with more memory, then run the same command again: it goes on from the last checkpoint"
)
ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES", "NUMBA_CACHE_DIR", "MPLCONFIGDIR",
)  # fmt: skip
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


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

    def __init__(self, inputs: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.inputs = inputs
        self.found: dict[str, Any] = {}
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            self.found = checksum_inputs(self.inputs)
        except OSError as error:
            self.error = error

    def wait(self) -> dict[str, Any]:
        self.join()
        if self.error is not None:
            raise self.error
        return self.found


class _Run:
    """The child process and its accounts."""

    def __init__(self, attempt: Attempt, spec: AttemptSpec, stop: threading.Event) -> None:
        self.attempt = attempt
        self.stop = stop
        self.spec = spec
        self.out = Path(spec.out)
        self.began_s = time.monotonic()
        self.cancelled_at_s: float | None = None
        self.killed = False
        self.out.mkdir(parents=True, exist_ok=True)
        self.checksums = _Checksums(spec.inputs)
        self.child = self._start()
        write_json(attempt.body_file, asdict(protocol.ProcessIdentity.of(self.child.pid)))
        self.checksums.start()

    def conclude(self) -> int:
        """Wait for the job body, write the records of its end, return the exit code."""
        beat_s = -HEARTBEAT_S
        while not self._has_ended():
            now_s = time.monotonic()
            if now_s - beat_s >= HEARTBEAT_S:
                beat_s = now_s
                self._beat()
            self._stop_if_asked(now_s)
            time.sleep(POLL_S)
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        return self._write_end()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= dict.fromkeys(THREAD_LIMITS, str(self.spec.threads))
        # Waiting threads sleep: on a shared machine spinning ones tripled the CPU seconds of a refinement.
        environment["OMP_WAIT_POLICY"] = "passive"
        command = [sys.executable, "-m", "cryocloud.jobs", str(self.attempt.folder)]
        with (self.out / "log.txt").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, process_group=0
            )

    def _has_ended(self) -> bool:
        """Without reaping: the process group stays ours until it has been swept."""
        return os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _stop_if_asked(self, now_s: float) -> None:
        if not (self.stop.is_set() or self.attempt.cancel_requested()):
            return
        if self.cancelled_at_s is None:
            self.cancelled_at_s = now_s
            os.killpg(self.child.pid, signal.SIGTERM)
        elif now_s - self.cancelled_at_s > CANCEL_GRACE_S and not self.killed:
            self.killed = True
            os.killpg(self.child.pid, signal.SIGKILL)

    def _beat(self) -> None:
        beat = {
            "monotonic_s": time.monotonic(),
            "wall_s": time.monotonic() - self.began_s,
            "cpu_s": _cpu_s_of(self.child.pid),
            "memory_bytes": _memory_bytes_of(self.child.pid),
        }
        with suppress(OSError):  # a full disk is the job's to report, not the heartbeat's
            write_json(self.attempt.heartbeat_file, beat)

    def _write_end(self) -> int:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = {
            "wall_s": round(time.monotonic() - self.began_s, 3),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_memory_bytes": usage.ru_maxrss * 1024,
        }
        outcome = self._outcome()
        code = outcome["code"]
        end = {"code": code, "message": outcome["message"], "finished_at_s": time.time(), **spent}
        try:
            if code in (protocol.DONE, protocol.DONE_WITH_EXCEPTIONS):
                write_json(self.out / "job.json", self._job_record(outcome, spent))
                shutil.rmtree(self.out / CHECKPOINTS, ignore_errors=True)
            write_json(self.attempt.exit_file, end)
        except OSError as error:
            print(f"{self.out}: the end could not be recorded: {error}", file=sys.stderr)
            return protocol.DISK_FULL if error.errno in protocol.DISK_FULL_ERRORS else protocol.INTERNAL_ERROR
        return int(code)

    def _outcome(self) -> dict[str, Any]:
        """What the job process wrote as its last word, or what the way it ended tells."""
        if self.attempt.outcome_file.exists():
            written: dict[str, Any] = read_json(self.attempt.outcome_file)
            return written
        status = self.child.returncode
        log = self.out / "log.txt"
        if status < 0 and self.cancelled_at_s is not None:
            return {"code": protocol.CANCELLED, "message": CANCELLED_MESSAGE}
        if status == -signal.SIGKILL:
            return {"code": protocol.INTERNAL_ERROR, "message": KILLED_MESSAGE}
        if status < 0:
            how = f"by {signal.Signals(-status).name}"
        elif status == protocol.DISK_FULL:
            return {"code": status, "message": f"disk full at {self.out}; free some space and run it again"}
        else:
            how = f"with code {status} and without a word"
        return {"code": protocol.INTERNAL_ERROR, "message": f"the job process ended {how}; see {log}"}

    def _job_record(self, outcome: dict[str, Any], spent: dict[str, float]) -> dict[str, Any]:
        spec = self.spec
        return {
            "type": spec.job_type,
            "version": spec.version,
            "state": "done" if outcome["code"] == protocol.DONE else "completed with exceptions",
            "parameters": spec.parameters,
            "inputs": self.checksums.wait(),
            "engine_version": __version__,
            "seed": spec.seed,
            "threads": spec.threads,
            "device": outcome["device"],
            "wall_s": round(spec.spent_wall_s + spent["wall_s"], 3),
            "cpu_s": round(spec.spent_cpu_s + spent["cpu_s"], 3),
            "peak_memory_bytes": spent["peak_memory_bytes"],
            "exceptions": outcome["exceptions"],
            "decisions": outcome["decisions"],
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def _cpu_s_of(pid: int) -> float:
    fields = protocol.process_stat(pid)
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _memory_bytes_of(pid: int) -> int:
    return int(protocol.process_stat(pid)[21]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
