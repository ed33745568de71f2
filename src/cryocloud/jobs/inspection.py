"""Looks at files that arrived: ``python -m cryocloud.jobs.inspection``, an order on standard input, facts on output.

The order is ``{"files": [{"path", "name", "previews": {"thumb": path, "view": path}}], "seconds": float}``. After that
many seconds no further file is begun, so the answer may hold fewer files than the order; it holds for each
file its ``state`` (read, damaged or other), the facts of its ``header``, a ``problem`` in words, and whether previews
exist.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc_header import MrcHeader, read_mrc_header
from cryocloud.engine.io.name_gate import restrict_names
from cryocloud.engine.io.tiff_header import read_tiff_header
from cryocloud.jobs.kit.preview import write_previews

MRC_SUFFIXES = (".mrc", ".mrcs", ".map", ".st", ".ali", ".rec", ".ccp4")
TIFF_SUFFIXES = (".tif", ".tiff", ".eer")
# Boxes of particles are smaller, frames of cameras larger.
FRAME_EDGE_PX = 2000
PACKED_SUFFIXES = (".gz", ".bz2")
STAR_BYTES_MAX = 256 << 20
PACKED_BYTES_MAX = 512 << 20
TABLES_MAX = 20
_NAME_LENGTH = 80
_PROBLEM_LENGTH = 500


@dataclass
class Findings:
    """What is known about one file."""

    state: str
    header: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    has_preview: bool = False


def inspect(path: Path, name: str, previews: dict[str, str]) -> Findings:
    """Read the file as what its name says it is; a file of another kind is kept as it is."""
    suffix = _suffix_of(name)
    try:
        if suffix in MRC_SUFFIXES:
            return _inspect_mrc(path, {size: Path(target) for size, target in previews.items()})
        if suffix in TIFF_SUFFIXES and PurePosixPath(name.lower()).suffix == suffix:
            return _inspect_tiff(path)
        if suffix == ".star":
            return _inspect_star(path)
    except InputError as error:
        return Findings("damaged", problem=str(error).replace(str(path), name)[:_PROBLEM_LENGTH])
    return Findings("other")


def _suffix_of(name: str) -> str:
    lower = PurePosixPath(name.lower())
    return lower.with_suffix("").suffix if lower.suffix in PACKED_SUFFIXES else lower.suffix


def _inspect_mrc(path: Path, previews: dict[str, Path]) -> Findings:
    header = read_mrc_header(path)
    found = Findings("read", _mrc_facts(header))
    sections, rows, columns = header.stored_shape
    if header.compression and sections * rows * columns * header.dtype.itemsize > PACKED_BYTES_MAX:
        return found
    write_previews(path, header, previews)
    found.has_preview = True
    return found


def _mrc_facts(header: MrcHeader) -> dict[str, Any]:
    depth, height, width = header.shape_zyx
    several = "movie" if min(height, width) >= FRAME_EDGE_PX else "stack"
    if header.is_volume or depth == height == width:
        several = "volume"
    return {
        "format": "MRC",
        "content": "image" if depth == 1 else several,
        "width_px": width,
        "height_px": height,
        "sections": depth,
        "mode": header.mode,
        "pixel_type": header.dtype.name,
        "pixel_size_angstrom": header.pixel_size_angstrom if header.has_pixel_size else None,
        "compression": header.compression,
    }


def _inspect_tiff(path: Path) -> Findings:
    """Facts only: nothing here reads TIFF and EER, and the page of the dataset says what to do with them."""
    header = read_tiff_header(path)
    facts = {
        "format": "EER" if header.is_eer else "TIFF",
        "content": "movie" if header.pages > 1 or header.is_eer else "image",
        "width_px": header.width_px,
        "height_px": header.height_px,
        "sections": header.pages,
    }
    return Findings("read", facts)


def _inspect_star(path: Path) -> Findings:
    if path.stat().st_size > STAR_BYTES_MAX:
        return Findings("other")
    from cryocloud.engine.io.star import read_star

    tables = [
        {"name": name[:_NAME_LENGTH], "rows": len(table), "columns": len(table.columns)}
        for name, table in read_star(path).items()
    ]
    return Findings("read", {"format": "STAR", "tables": tables[:TABLES_MAX]})


def main() -> None:
    order = json.load(sys.stdin)
    # Nothing that these files name is followed.
    restrict_names([one["path"] for one in order["files"]])
    end_s = time.monotonic() + order["seconds"]
    found: list[Findings] = []
    for one in order["files"]:
        if found and time.monotonic() > end_s:
            break
        found.append(inspect(Path(one["path"]), one["name"], one["previews"]))
    json.dump({"files": [asdict(one) for one in found]}, sys.stdout)


if __name__ == "__main__":
    main()
