"""Runs a small tool on files of strangers: ``run_tool("cryocloud.jobs.inspection", order, ...)``.

The tool is ``python -m MODULE`` in a process group of its own, with one thread, limited memory and time, and without
the platform's environment. It reads one JSON object from standard input and writes one to standard output.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import IO, Any

from cryocloud.compute.runner import ENVIRONMENT, THREAD_LIMITS

ANSWER_BYTES_MAX = 64 << 20
_OUT_OF_MEMORY = 77
_ORPHAN_GRACE_S = 5
_SAID_BYTES = 4000


class ToolFailed(Exception):
    """The tool gave no answer; the message says why in words for the person whose file it was."""


def run_tool(module: str, order: dict[str, Any], *, timeout_s: float, memory_bytes: int) -> dict[str, Any]:
    """The answer of the tool. Raises ``ToolFailed`` if it crashes, takes too long or wants too much memory."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as said,
    ):
        given.write(json.dumps(order).encode())
        given.seek(0)
        command = [sys.executable, "-m", __name__, module, str(timeout_s), str(memory_bytes)]
        child = subprocess.Popen(
            command, stdin=given, stdout=answer, stderr=said, env=_environment(), process_group=0
        )
        try:
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ToolFailed(f"{module} did not finish within {timeout_s:g} s and was stopped") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if status != 0:
            raise ToolFailed(_reason(module, status, memory_bytes, said))
        return _read_answer(module, answer)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return kept | dict.fromkeys(THREAD_LIMITS, "1")


def _reason(module: str, status: int, memory_bytes: int, said: IO[bytes]) -> str:
    if status == _OUT_OF_MEMORY:
        return f"{module} needed more than the {memory_bytes / 2**20:.0f} MiB of memory that it may use"
    said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID_BYTES))
    lines = said.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].strip() if lines else "it said nothing"
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with code {status}"
    return f"{module} {how}: {last}"


def _read_answer(module: str, answer: IO[bytes]) -> dict[str, Any]:
    size_bytes = answer.seek(0, os.SEEK_END)
    if size_bytes > ANSWER_BYTES_MAX:
        raise ToolFailed(f"{module} answered {size_bytes:,} bytes, more than {ANSWER_BYTES_MAX:,}")
    answer.seek(0)
    try:
        read = json.load(answer)
    except ValueError as error:
        raise ToolFailed(f"{module} gave no JSON answer ({error})") from None
    if not isinstance(read, dict):
        raise ToolFailed(f"{module} answered {type(read).__name__} instead of an object")
    return read


def _run_limited(module: str, timeout_s: float, memory_bytes: int) -> None:
    # The alarm ends a tool whose caller was killed, so that nothing runs on for nobody.
    signal.alarm(int(timeout_s) + _ORPHAN_GRACE_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    sys.argv = [module]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except MemoryError:
        # Skips the ends of libraries, which may need memory too.
        os._exit(_OUT_OF_MEMORY)


if __name__ == "__main__":
    _run_limited(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
