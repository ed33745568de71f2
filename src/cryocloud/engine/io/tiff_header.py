"""What the headers of a TIFF or EER file tell: size and number of images. No pixel is read."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import require_readable

_ORDERS = {b"II": "<", b"MM": ">"}
_CLASSIC, _BIG = 42, 43
_WIDTH, _HEIGHT, _COMPRESSION = 256, 257, 259
_WANTED = (_WIDTH, _HEIGHT, _COMPRESSION)
_VALUE_FORMATS = {3: "H", 4: "I", 16: "Q"}
EER_COMPRESSIONS = (65000, 65001, 65002)
PAGES_MAX = 100_000
ENTRIES_MAX = 4096


@dataclass(frozen=True)
class TiffHeader:
    """``pages`` are images of the size of the first; a movie has one for each frame."""

    width_px: int
    height_px: int
    pages: int
    is_eer: bool


@dataclass(frozen=True)
class _Layout:
    """Formats of one kind of TIFF: number of entries, an entry without its value, an offset."""

    order: str
    count: str
    offset: str

    def read(self, stream: BinaryIO, form: str, path: Path) -> tuple[int, ...]:
        size_bytes = struct.calcsize(self.order + form)
        content = stream.read(size_bytes)
        if len(content) < size_bytes:
            raise InputError(f"{path}: the file ends within its headers; upload it again")
        return struct.unpack(self.order + form, content)


def read_tiff_header(path: Path) -> TiffHeader:
    """Raise ``InputError`` if this is no TIFF, or its chain of images is broken."""
    require_readable(path)
    with path.open("rb") as stream:
        layout, offset = _begin(stream, path)
        first: dict[int, int] = {}
        seen: set[int] = set()
        while offset:
            if offset in seen or len(seen) >= PAGES_MAX:
                raise InputError(f"{path}: its list of images has no end after {len(seen):,}; write it anew")
            seen.add(offset)
            tags, offset = _page(stream, layout, offset, path)
            first = first or tags
    if not (first.get(_WIDTH) and first.get(_HEIGHT)):
        raise InputError(f"{path}: holds no image that says how large it is")
    return TiffHeader(first[_WIDTH], first[_HEIGHT], len(seen), first.get(_COMPRESSION) in EER_COMPRESSIONS)


def _begin(stream: BinaryIO, path: Path) -> tuple[_Layout, int]:
    """How this file is written, and where its first image is described."""
    order = _ORDERS.get(stream.read(2))
    if order is None:
        raise InputError(f"{path}: is no TIFF file, whatever its name says")
    layout = _Layout(order, "H", "I")
    (version,) = layout.read(stream, "H", path)
    if version == _CLASSIC:
        return layout, layout.read(stream, "I", path)[0]
    if version == _BIG:
        layout = _Layout(order, "Q", "Q")
        layout.read(stream, "HH", path)
        return layout, layout.read(stream, "Q", path)[0]
    raise InputError(f"{path}: is no TIFF file of a known version ({version}; 42 and 43 are known)")


def _page(stream: BinaryIO, layout: _Layout, offset: int, path: Path) -> tuple[dict[int, int], int]:
    """The wanted tags of one image, and where the next is described."""
    stream.seek(offset)
    (entries,) = layout.read(stream, layout.count, path)
    if entries > ENTRIES_MAX:
        raise InputError(
            f"{path}: an image is described by {entries:,} entries; at most {ENTRIES_MAX:,} are read"
        )
    tags: dict[int, int] = {}
    for _ in range(entries):
        tag, kind, _count = layout.read(stream, f"HH{layout.offset}", path)
        value = stream.read(struct.calcsize(layout.offset))
        form = layout.order + _VALUE_FORMATS.get(kind, "")
        if tag in _WANTED and kind in _VALUE_FORMATS and len(value) >= struct.calcsize(form):
            (tags[tag],) = struct.unpack_from(form, value)
    return tags, layout.read(stream, layout.offset, path)[0]
