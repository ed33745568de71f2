"""Runs a small tool on files of strangers: ``run_tool("cryocloud.jobs.inspection", order, ...)``.

The tool is ``python -m MODULE`` behind walls, with one thread, limited memory and time, and without the platform's
environment. It reads one JSON object from standard input and writes one to standard output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from cryocloud.compute.foreign import remove_tree
from cryocloud.compute.isolation.cells import make_cell
from cryocloud.compute.isolation.confine import Confinement, own_status, start_confined
from cryocloud.compute.isolation.inside import OUT_OF_MEMORY

ANSWER_BYTES_MAX = 64 << 20
TOOL_FILE_BYTES = 8 << 30
_ORPHAN_GRACE_S = 5
_SAID_BYTES = 4000


class ToolFailed(Exception):
    """The tool gave no answer; the message says why in words for the person whose file it was."""


def run_tool(
    module: str, order: dict[str, Any], *, timeout_s: float, confinement: Confinement
) -> dict[str, Any]:
    """The answer of the tool. Raises ``ToolFailed`` if it crashes, takes too long or wants too much memory."""
    with (
        _scratch() as scratch,
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as said,
    ):
        given.write(json.dumps(order).encode())
        given.seek(0)
        walls = replace(
            confinement,
            scratch=scratch,
            alarm_s=int(timeout_s) + _ORPHAN_GRACE_S,
            cpu_s=int(timeout_s) + _ORPHAN_GRACE_S,
            file_bytes=min(confinement.file_bytes, TOOL_FILE_BYTES),
        )
        status = _run(module, walls, timeout_s, (given, answer, said))
        if status != 0:
            raise ToolFailed(_reason(module, status, walls.memory_bytes, said))
        return _read_answer(module, answer)


@contextmanager
def _scratch() -> Iterator[str]:
    """Removed whatever the tool left there."""
    folder = tempfile.mkdtemp(prefix="tool-")
    try:
        yield folder
    finally:
        remove_tree(Path(folder))


def _run(module: str, walls: Confinement, timeout_s: float, streams: tuple[IO[bytes], ...]) -> int:
    """The exit status, negative for the signal that ended it."""
    given, answer, said = streams
    name = f"tool-{uuid.uuid4().hex}"
    cell = make_cell(name, memory_bytes=walls.memory_bytes, processes=walls.processes)
    child = start_confined(walls, cell, [module], stdin=given, stdout=answer, stderr=said)
    try:
        status = child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise ToolFailed(f"{module} did not finish within {timeout_s:g} s and was stopped") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        cell.end()
    return own_status(walls, status)


def _reason(module: str, status: int, memory_bytes: int, said: IO[bytes]) -> str:
    if status in (OUT_OF_MEMORY, -signal.SIGKILL):
        return f"{module} needed more than the {memory_bytes / 2**20:.0f} MiB of memory that it may use"
    said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID_BYTES))
    lines = said.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].strip() if lines else "it said nothing"
    known = {number.value: number.name for number in signal.Signals}
    how = f"was ended by {known.get(-status, -status)}" if status < 0 else f"ended with code {status}"
    return f"{module} {how}: {last}"


def _read_answer(module: str, answer: IO[bytes]) -> dict[str, Any]:
    size_bytes = answer.seek(0, os.SEEK_END)
    if size_bytes > ANSWER_BYTES_MAX:
        raise ToolFailed(f"{module} answered {size_bytes:,} bytes, more than {ANSWER_BYTES_MAX:,}")
    answer.seek(0)
    try:
        read = json.load(answer)
    except (ValueError, RecursionError) as error:
        raise ToolFailed(f"{module} gave no JSON answer ({error})") from None
    if not isinstance(read, dict):
        raise ToolFailed(f"{module} answered {type(read).__name__} instead of an object")
    return read
