"""The process that runs one job body: ``python -m cryocloud.jobs ATTEMPT_DIR``.

Started by ``cryocloud.compute.runner``. It leaves ``outcome.json`` in the attempt directory and
exits with the code of the command-line contract; here, and only here, errors become exit codes.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cryocloud import __version__
from cryocloud.catalog import UnknownName, load_job_type
from cryocloud.catalog.messages import plain_validation_message
from cryocloud.compute import attempt as protocol
from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.context import JobCancelled, JobContext
from cryocloud.compute.files import write_json
from cryocloud.compute.plain_names import PlainNames
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import restrict_names
from cryocloud.jobs.kit.python_warnings import explain_python_warnings

_AMOUNT = re.compile(r"\d[\d.,]* ?[KMGT]i?B\b")


@dataclass(frozen=True)
class Ending:
    """How a job ends: exit code, and the line for the person who started it."""

    code: int
    message: str = ""


def main(arguments: list[str]) -> int:
    attempt = Attempt(Path(arguments[0]))
    spec = attempt.read_spec()
    stop = threading.Event()
    _obey_the_runner(stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    outcome: dict[str, Any] = {"device": None, "decisions": [], "warnings": [], "exceptions": 0}
    _write_utf8()
    try:
        job = _run(attempt, spec, outcome, stop)
        end = Ending(protocol.DONE_WITH_EXCEPTIONS if job.exceptions else protocol.DONE)
    except BaseException as error:
        end = _failure(error, spec)
        if end.code in (protocol.INTERNAL_ERROR, protocol.DISK_FULL):
            traceback.print_exc()
        end = replace(end, message=PlainNames.of(spec).clean(end.message))
        print(end.message, flush=True)
    _write_outcome(attempt, outcome | {"code": end.code, "message": end.message})
    return end.code


def _run(attempt: Attempt, spec: AttemptSpec, outcome: dict[str, Any], stop: threading.Event) -> JobContext:
    job_type = load_job_type(spec.job_type)
    parameters = job_type.parameters.model_validate(spec.parameters)
    outcome["device"] = device = _resolve_device(spec.device)
    job = JobContext(attempt, spec, parameters, device, stop)
    outcome |= {"decisions": job.decisions, "warnings": job.warnings}
    explain_python_warnings(job.warning)
    _restrict_names(attempt, spec)
    resumed = " (resumed)" if spec.resumed else ""
    job.log(f"{spec.job_type} {spec.version}, CryoCloud {__version__}, seed {spec.seed}, {device}{resumed}")
    body: Callable[[JobContext], None] = importlib.import_module(f"cryocloud.jobs.{spec.job_type}").run
    body(job)
    outcome["exceptions"] = len(job.exceptions)
    return job


def _write_utf8() -> None:
    """Whatever the language of the machine: units are no ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _restrict_names(attempt: Attempt, spec: AttemptSpec) -> None:
    """Besides what the order says, the job reads its own results and the links that were made for its inputs."""
    if spec.readable is not None:
        restrict_names([*spec.readable, spec.out, attempt.folder / "inputs"])


def _resolve_device(asked: str) -> str:
    if asked == "cpu":
        return "cpu"
    import torch

    available = torch.cuda.is_available()
    if asked == "cuda" and not available:
        raise InputError("--device cuda: no CUDA device is usable here; choose --device cpu or auto")
    return "cuda" if available else "cpu"


def _failure(error: BaseException, spec: AttemptSpec) -> Ending:
    """The one place where errors become exit codes and plain messages."""
    match error:
        case JobCancelled():
            return Ending(protocol.CANCELLED, "stopped; it goes on from here when it is run again")
        case ValidationError():
            return Ending(protocol.BAD_INPUT, plain_validation_message(error))
        case InputError() | UnknownName():
            return Ending(protocol.BAD_INPUT, str(error))
        case OSError(errno=number) if number in protocol.DISK_FULL_ERRORS:
            return Ending(protocol.DISK_FULL, disk_full_message(spec.out, error.filename))
        case MemoryError():
            return Ending(protocol.INTERNAL_ERROR, _memory_message(error))
        case RuntimeError() if _is_out_of_memory(error):
            return Ending(protocol.INTERNAL_ERROR, _memory_message(error))
    if spec.names is not None:
        return Ending(protocol.INTERNAL_ERROR, spec.fault)
    kind = type(error).__name__
    return Ending(protocol.INTERNAL_ERROR, f"internal error in {spec.job_type}: {kind}: {_first_line(error)}")


def disk_full_message(out: str, path: object) -> str:
    """Which disk is full, and how to go on."""
    where = path if isinstance(path, str | os.PathLike) else out
    free_mb = shutil.disk_usage(out).free / 1e6
    return (
        f"disk full while writing {os.fspath(where)} ({free_mb:.0f} MB free); finished work is kept: "
        "free some space and run the same command again"
    )


def _is_out_of_memory(error: RuntimeError) -> bool:
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text


def _memory_message(error: BaseException) -> str:
    asked = _AMOUNT.search(str(error))
    return (
        f"not enough memory{f' ({asked[0]} more were needed)' if asked else ''}; use a smaller box, fewer classes "
        "or a machine with more memory, then run the same command again: it goes on from the last checkpoint"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def _write_outcome(attempt: Attempt, outcome: dict[str, Any]) -> None:
    try:
        write_json(attempt.outcome_file, outcome)
    except OSError as error:
        if error.errno not in protocol.DISK_FULL_ERRORS:
            raise
        print(f"{attempt.outcome_file} not written: disk full", file=sys.stderr)


def _obey_the_runner(stop: threading.Event) -> None:
    """A byte in the pipe asks to stop; its end means that nobody is left to account for this process."""
    if sys.stdin is None or sys.stdin.isatty():
        return

    def wait() -> None:
        while os.read(0, 1):
            stop.set()
        os.kill(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
