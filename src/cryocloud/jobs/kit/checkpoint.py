"""Checkpoints: named arrays and a small state in one file that is replaced atomically."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "checkpoint.npz"
FORMAT_VERSION = 2
_HEADER = "__checkpoint__"


@dataclass(frozen=True)
class Checkpoint:
    """The last finished step of a job and all that is needed to go on from there."""

    step: int
    arrays: dict[str, NDArray[Any]]
    state: dict[str, Any]


def save_checkpoint(folder: Path, step: int, arrays: dict[str, NDArray[Any]], state: dict[str, Any]) -> None:
    """Replace the checkpoint in ``folder``; the former one stays valid until the new one is on disk.

    ``state`` must be JSON; floats in it come back bit for bit.
    """
    assert _HEADER not in arrays
    header = json.dumps({"version": FORMAT_VERSION, "step": step, "state": state}).encode()
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE_NAME}.partial"
    try:
        with partial.open("wb") as stream:
            np.savez(stream, **{_HEADER: np.frombuffer(header, np.uint8)}, **arrays)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(folder / FILE_NAME)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in ``folder``, or None where there is none or another version wrote it."""
    path = folder / FILE_NAME
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        header = json.loads(stored[_HEADER].tobytes())
        if header["version"] != FORMAT_VERSION:
            return None
        arrays = {name: stored[name] for name in stored.files if name != _HEADER}
    return Checkpoint(header["step"], arrays, header["state"])
