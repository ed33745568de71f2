"""What a job sees of the world: its parameters, its folders, and a way to report."""

from __future__ import annotations

import csv
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryocloud.compute.attempt import Attempt, AttemptSpec
from cryocloud.compute.files import append_json_line, read_json, write_json, write_text
from cryocloud.compute.plain_names import PlainNames

CHECKPOINTS = ".checkpoint"
PROGRESS_INTERVAL_S = 0.2


class JobCancelled(Exception):
    """Raised by ``JobContext.progress`` once somebody asked the job to stop."""


class JobContext:
    """Handed to ``run(job)`` of a job type.

    ``parameters`` is the job type's own frozen model, ``device`` is resolved to "cpu" or "cuda".
    Bad items are reported again by a resumed attempt, because it meets them again. ``stop`` is set by
    the signal that asks the job to end; the file ``cancel`` asks the same from outside.
    """

    def __init__(
        self,
        attempt: Attempt,
        spec: AttemptSpec,
        parameters: Any,
        device: str,
        stop: threading.Event | None = None,
    ) -> None:
        self.parameters = parameters
        self.inputs: Mapping[str, Path] = {name: Path(path) for name, path in spec.inputs.items()}
        self.out = Path(spec.out)
        self.seed = spec.seed
        self.threads = spec.threads
        self.device = device
        self.decisions: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.exceptions: dict[str, str] = {}
        self._names = PlainNames.of(spec)
        self._attempt = attempt
        self._stop = stop or threading.Event()
        self._reported_at_s = -math.inf
        metrics = self.out / "metrics.json"
        self._metrics: dict[str, float | None] = (
            read_json(metrics) if spec.resumed and metrics.exists() else {}
        )
        attempt.handover.mkdir(parents=True, exist_ok=True)
        self.plots.mkdir(parents=True, exist_ok=True)
        self._exceptions_file = self.out / "exceptions.csv"
        write_text(self._exceptions_file, "item,reason\n")

    @property
    def plots(self) -> Path:
        """Folder for PNG and SVG files."""
        return self.out / "plots"

    @property
    def checkpoints(self) -> Path:
        """Folder for what a resumed attempt needs; removed when the job has succeeded."""
        return self.out / CHECKPOINTS

    def progress(self, fraction: float, message: str = "") -> None:
        """Report how far the job is (0..1); raises ``JobCancelled`` when asked to stop."""
        if self._stop.is_set() or self._attempt.cancel_requested():
            raise JobCancelled
        now_s = time.monotonic()
        if now_s - self._reported_at_s >= PROGRESS_INTERVAL_S or fraction >= 1.0:
            self._reported_at_s = now_s
            shown = min(max(float(fraction), 0.0), 1.0)
            self._event("progress", fraction=shown, message=self._names.clean(message))

    def quarantine(self, item: str, reason: str) -> None:
        """Set one bad item aside; the job then ends "completed with exceptions"."""
        item, reason = self._names.known_as(item), self._names.clean(reason)
        self.exceptions[item] = reason
        with self._exceptions_file.open("a", encoding="utf-8", newline="") as table:
            csv.writer(table, lineterminator="\n").writerow([item, reason])
        self._event("exception", item=item, reason=reason)

    def metrics(self, **numbers: float) -> None:
        """Merge numbers into ``metrics.json``; one that is not finite is stored as null."""
        for name, number in numbers.items():
            value = float(number)
            if not math.isfinite(value):
                self._metrics[name] = None
            else:
                self._metrics[name] = int(value) if value.is_integer() else value
        write_json(self.out / "metrics.json", self._metrics)

    def decision(self, what: str, value: Any, why: str) -> None:
        """Record a choice that the job made by itself."""
        value, why = self._names.clean_value(value), self._names.clean(why)
        self.decisions.append({"what": what, "value": value, "why": why})
        self._event("decision", what=what, value=value, why=why)

    def warning(self, text: str) -> None:
        """Say something that casts doubt on the result; it stands first where the job or its workflow is shown."""
        text = self._names.clean(text)
        self.warnings.append(text)
        self.log(f"WARNING: {text}")
        self._event("warning", message=text)

    def log(self, text: str) -> None:
        """Write a line to ``log.txt`` (which holds all that the job prints)."""
        print(f"{time.strftime('%H:%M:%S')} {self._names.clean(text)}", flush=True)

    def known_as(self, name: str) -> str:
        """A file as people know it, for tables and pictures: "Session 1/a.mrc"."""
        return self._names.known_as(name)

    def _event(self, kind: str, **content: Any) -> None:
        append_json_line(self._attempt.events_file, {"at_s": time.monotonic(), "event": kind, **content})
