"""What is to be previewed, and where previews may take their images from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Order:
    """``folder`` holds the results, ``out`` takes the previews, ``upstream`` are the folders of the job's inputs.

    ``micrographs`` is the list that picks were made on, where there is one.

    STAR files name files anywhere; only those below ``folder`` and ``readable`` are opened.
    """

    folder: Path
    out: Path
    upstream: tuple[Path, ...]
    readable: tuple[Path, ...]
    seconds: float
    symmetry: str
    micrographs: Path | None = None


def read_order(given: dict[str, Any]) -> Order:
    folder = Path(given["folder"])
    return Order(
        folder=folder,
        out=Path(given["out"]),
        upstream=tuple(Path(text) for text in given["upstream"]),
        readable=(folder, *(Path(text) for text in given["readable"])),
        seconds=float(given["seconds"]),
        symmetry=str(given["symmetry"]),
        micrographs=Path(given["micrographs"]) if given.get("micrographs") else None,
    )
