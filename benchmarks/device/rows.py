"""Steps that measure, each in a process of its own: one that fails, hangs or loses its GPU does not end the others."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

MULTIPROCESSING = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Row:
    """One figure. ``reference`` is a floor or what is expected, ``ok`` None where nothing is demanded."""

    name: str
    value: float | None
    unit: str = ""
    reference: float | None = None
    ok: bool | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over reference."""
        return self.value / self.reference if self.value is not None and self.reference else None


@dataclass(frozen=True)
class Step:
    """``measure`` yields rows and is stopped after ``budget_s``."""

    name: str
    budget_s: float
    measure: Callable[[], Iterator[Row]]


def run_step(step: Step, limit_s: float, folder: Path) -> list[dict[str, object]]:
    """The rows that a step gave, with one more that tells why it ended early, if it did."""
    stored = folder / f"{step.name.replace(' ', '_')}.jsonl"
    stored.write_text("")
    limit_s = min(step.budget_s, limit_s)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = MULTIPROCESSING.Process(target=_measure, args=(step, stored))
    process.start()
    process.join(max(limit_s, 0.0))
    if process.is_alive():
        assert process.pid is not None
        with suppress(ProcessLookupError):  # not yet the leader of a group
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        _append(stored, step, Row("stopped", limit_s, "s", ok=False, note="its time was over"))
    elif process.exitcode:
        _append(stored, step, Row("ended", process.exitcode, "exit code", ok=False))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    _append(stored, step, Row("whole step", time.monotonic() - start, "s"))
    _append(stored, step, Row("whole step, processor time", cpu_s, "s"))
    return [json.loads(line) for line in stored.read_text().splitlines()]


def _measure(step: Step, stored: Path) -> None:
    os.setpgid(0, 0)
    try:
        for row in step.measure():
            _append(stored, step, row)
    except Exception:
        _append(stored, step, Row("failed", None, ok=False, note=traceback.format_exc()))


def _append(stored: Path, step: Step, row: Row) -> None:
    with stored.open("a") as stream:
        stream.write(json.dumps({"step": step.name, **asdict(row), "ratio": row.ratio}) + "\n")
