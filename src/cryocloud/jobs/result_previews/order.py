"""What is to be previewed, and where previews may take their images from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryocloud.engine.errors import InputError


@dataclass(frozen=True)
class Order:
    """``folder`` holds the results, ``out`` takes the previews, ``upstream`` are the folders of the job's inputs.

    STAR files name files anywhere; only those below ``readable`` are opened.
    """

    folder: Path
    out: Path
    upstream: tuple[Path, ...]
    readable: tuple[Path, ...]
    seconds: float
    symmetry: str

    def may_read(self, path: Path) -> Path:
        """The path with links followed. Raises ``InputError`` if it leads elsewhere or to nothing."""
        true = path.resolve()
        if not any(true.is_relative_to(folder) for folder in self.readable):
            raise InputError(f"{path.name}: lies outside the data of the job")
        if not true.is_file():
            raise InputError(f"{path.name}: is not there any more")
        return true


def read_order(given: dict[str, Any]) -> Order:
    folder = Path(given["folder"])
    readable = (folder, *(Path(text) for text in given["readable"]))
    return Order(
        folder=folder,
        out=Path(given["out"]),
        upstream=tuple(Path(text) for text in given["upstream"]),
        readable=tuple(path.resolve() for path in readable),
        seconds=float(given["seconds"]),
        symmetry=str(given["symmetry"]),
    )
