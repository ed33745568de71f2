"""The folders of a home."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

FOLDERS = (
    "attempts",
    "results",
    "datasets",
    "previews",
    "uploads",
    "blobs",
    "mail",
    "logs",
    "spool",
    "static",
)
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class HomeIsOpen(Exception):
    """Other users of the machine can reach into the home, and the platform may not change that."""


def make_home(home: Path) -> None:
    """All folders, for their owner only. What an older version or a person left open to others is closed."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in FOLDERS:
        (home / name).mkdir(exist_ok=True, mode=0o700)
    for path in _guarded_paths(home):
        _close_to_others(path)


def _guarded_paths(home: Path) -> Iterator[Path]:
    """The home, what lies directly in it, and logs and mails; deeper ones are behind these."""
    yield home
    yield from home.iterdir()
    for name in ("logs", "mail"):
        yield from (home / name).iterdir()


def _close_to_others(path: Path) -> None:
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode) or not facts.st_mode & OTHERS:
        return
    try:
        path.chmod(stat.S_IMODE(facts.st_mode) & ~OTHERS)
    except PermissionError:
        raise HomeIsOpen(
            f"{path} is open to other users of this machine (mode {stat.S_IMODE(facts.st_mode):04o}) and belongs to "
            f"user {facts.st_uid}, not to user {os.geteuid()} under whom the platform runs; give it to that user "
            f"(chown) or close it (chmod go= {path})"
        ) from None
