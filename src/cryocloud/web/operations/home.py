"""The folders of a home."""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("attempts", "results", "datasets", "previews", "uploads", "blobs", "mail", "logs", "static")


def make_home(home: Path) -> None:
    """All folders, for their owner only."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in FOLDERS:
        (home / name).mkdir(exist_ok=True, mode=0o700)
