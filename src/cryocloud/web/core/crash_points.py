"""Named places at which a process may be killed by a test. Elsewhere passing one costs a look at a variable."""

from __future__ import annotations

from collections.abc import Callable

_reached: Callable[[str], None] | None = None


def crash_point(name: str) -> None:
    if _reached is not None:
        _reached(name)


def watch_crash_points(reached: Callable[[str], None]) -> None:
    """For the seams of tests, which are no part of what is installed."""
    global _reached  # noqa: PLW0603  # one for the process, set before anything is served
    _reached = reached
