"""Which files an input stands for, and what identifies their content."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path
from typing import Any

from cryocloud.compute.plain_names import PlainNames, without_folders

GLOB_CHARACTERS = frozenset("*?[")


def input_files(value: str) -> list[Path]:
    """Files behind a path, a glob pattern or a folder (its own files only); none for a literal word."""
    path = Path(value)
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    if GLOB_CHARACTERS & set(value):
        return sorted(Path(match) for match in glob.glob(value) if Path(match).is_file())
    return []


def fingerprint(value: str) -> list[list[Any]]:
    """Path, size and time of each file: cheap enough to compare before anything starts."""
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in input_files(value)]


def checksum_inputs(
    inputs: dict[str, str], readable: list[str] | None = None, names: PlainNames | None = None
) -> dict[str, Any]:
    """Per input: what was named and the SHA-256 of every file behind it.

    With ``readable`` (on a platform), a link that leads elsewhere counts as nothing: its checksum would tell of a
    stranger's file; and files go by the ``names`` that people know.
    """
    if readable is None:
        return {
            name: {"path": value, "files": [_checksum(path) for path in input_files(value)]}
            for name, value in inputs.items()
        }
    places = [Path(place).resolve() for place in readable]
    known_as = names.clean if names else without_folders
    return {
        name: {
            "path": known_as(value),
            "files": [
                _checksum(path) | {"path": known_as(str(path))}
                for path in input_files(value)
                if _is_below(path, places)
            ],
        }
        for name, value in inputs.items()
    }


def _is_below(path: Path, places: list[Path]) -> bool:
    true = path.resolve()
    return any(true.is_relative_to(place) for place in places)


def _checksum(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest}
