"""Progress on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import shutil
import sys
import time

BAR_WIDTH = 24
PLAIN_INTERVAL_S = 10.0
DRAW_INTERVAL_S = 0.1
UNITS = ("B", "kB", "MB", "GB", "TB")


class Progress:
    """How far one thing is."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.is_terminal = sys.stderr.isatty()
        self.shown_at_s = 0.0 if self.is_terminal else time.monotonic()
        self.is_drawn = False

    def show(self, fraction: float, text: str) -> None:
        moment_s = time.monotonic()
        if moment_s - self.shown_at_s < (DRAW_INTERVAL_S if self.is_terminal else PLAIN_INTERVAL_S):
            return
        self.shown_at_s = moment_s
        if not self.is_terminal:
            print(f"{self.title}: {fraction:.0%} {text}".rstrip(), file=sys.stderr, flush=True)
            return
        filled = round(BAR_WIDTH * min(1.0, fraction))
        bar = "█" * filled + "░" * (BAR_WIDTH - filled)
        width = shutil.get_terminal_size().columns - 1
        line = f"{self.title:<20} {bar} {fraction:4.0%} {text}"[:width]
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        self.is_drawn = True

    def say(self, text: str) -> None:
        """A line that stays."""
        start = "\r\x1b[K" if self.is_drawn else ""
        self.is_drawn = False
        print(f"{start}{text}", file=sys.stderr, flush=True)


def size_text(size_bytes: float) -> str:
    """1,234,567 as 1.2 MB."""
    for unit in UNITS[:-1]:
        if abs(size_bytes) < 1000:
            return f"{size_bytes:.3g} {unit}" if unit != "B" else f"{size_bytes:.0f} B"
        size_bytes /= 1000
    return f"{size_bytes:.3g} {UNITS[-1]}"
