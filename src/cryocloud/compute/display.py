"""Progress on standard error: a bar on a terminal, JSON lines, or plain lines."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from cryocloud.catalog.metrics import spoken_number

BAR_WIDTH = 24
PLAIN_INTERVAL_S = 10.0


class Display(Protocol):
    """Shows the life of one job."""

    def event(self, event: dict[str, Any]) -> None: ...

    def error(self, message: str) -> None: ...

    def finish(self, code: int, message: str, out: str) -> None: ...

    def summary(self, key_numbers: Mapping[str, float], report: str) -> None: ...


def make_display(progress: str, title: str) -> Display:
    """The display for ``--progress auto|json|plain`` and the standard error at hand."""
    if progress == "json":
        return JsonDisplay(title)
    if progress == "auto" and sys.stderr.isatty():
        return BarDisplay(title)
    return PlainDisplay(title)


class JsonDisplay:
    """One JSON object a line, for programs."""

    def __init__(self, title: str) -> None:
        self.title = title

    def event(self, event: dict[str, Any]) -> None:
        self._write({"job": self.title, **event})

    def error(self, message: str) -> None:
        self._write({"job": self.title, "event": "error", "message": message})

    def finish(self, code: int, message: str, out: str) -> None:
        self._write({"job": self.title, "event": "end", "code": code, "message": message, "out": out})

    def summary(self, key_numbers: Mapping[str, float], report: str) -> None:
        self._write(
            {"job": self.title, "event": "summary", "key_numbers": dict(key_numbers), "report": report}
        )

    def _write(self, value: dict[str, Any]) -> None:
        print(json.dumps(value), file=sys.stderr, flush=True)


class PlainDisplay:
    """Lines for a log: warnings, bad items, and progress now and then."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.shown_at_s = time.monotonic()

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "exception":
            self._write(f"{self.title}: {event['item']}: {event['reason']}")
        elif event["event"] == "warning":
            self._write(f"{self.title}: WARNING: {event['message']}")
        elif event["event"] == "progress" and time.monotonic() - self.shown_at_s > PLAIN_INTERVAL_S:
            self.shown_at_s = time.monotonic()
            self._write(f"{self.title}: {event['fraction']:.0%} {event['message']}")

    def error(self, message: str) -> None:
        self._write(f"{self.title}: {message}")

    def finish(self, code: int, message: str, out: str) -> None:
        self._write(f"{self.title}: {_closing_line(code, message, out)}")

    def summary(self, key_numbers: Mapping[str, float], report: str) -> None:
        self._write(f"{self.title}: {_summary_line(key_numbers, report)}")

    def _write(self, line: str) -> None:
        print(line.rstrip(), file=sys.stderr, flush=True)


class BarDisplay:
    """One line that is drawn again, with lasting lines above it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar = ""

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "exception":
            self._lasting(f"{self.title}: {event['item']}: {event['reason']}")
        elif event["event"] == "warning":
            self._lasting(f"{self.title}: WARNING: {event['message']}")
        elif event["event"] == "progress":
            filled = round(BAR_WIDTH * event["fraction"])
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            width = shutil.get_terminal_size().columns - 1
            self.bar = f"{self.title:<20} {bar} {event['fraction']:4.0%} {event['message']}"[:width]
            self._draw()

    def error(self, message: str) -> None:
        self._lasting(f"{self.title}: {message}")

    def finish(self, code: int, message: str, out: str) -> None:
        self.bar = ""
        self._lasting(f"{self.title:<20} {_closing_line(code, message, out)}")

    def summary(self, key_numbers: Mapping[str, float], report: str) -> None:
        self._lasting(_summary_line(key_numbers, report))

    def _lasting(self, line: str) -> None:
        print(f"\r\x1b[K{line}", file=sys.stderr)
        self._draw()

    def _draw(self) -> None:
        if self.bar:
            print(f"\r\x1b[K{self.bar}", end="", file=sys.stderr, flush=True)


def _closing_line(code: int, message: str, out: str) -> str:
    if code == 0:
        return f"done, {out}"
    if code == 3:
        return f"completed with exceptions, see {out}/exceptions.csv"
    return message


def _summary_line(key_numbers: Mapping[str, float], report: str) -> str:
    spoken = (spoken_number(name, value) for name, value in key_numbers.items())
    return ", ".join(f"{one.label} {one.text}" for one in spoken) + f"; report: {report}"
