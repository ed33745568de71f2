"""Many files as one ZIP archive, made while it is sent: stored, of any size, in bounded memory, with its checksums."""

from __future__ import annotations

import asyncio
import hashlib
import os
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.ranged import PIECE_BYTES, shown_name

MANIFEST = "SHA256SUMS"
# Lengths of the parts of an archive as the standard library writes it to a stream, with 64-bit sizes where it does.
_LOCAL, _DESCRIPTOR, _CENTRAL, _END, _END_64 = 30 + 20, 24, 46, 22, 56 + 20


@dataclass(frozen=True)
class ZipMember:
    """A file and the name, size and checksum that it must have."""

    name: str
    path: Path
    size_bytes: int
    sha256: str


def zip_response(request: HttpRequest, members: Sequence[ZipMember], *, name: str) -> HttpResponseBase:
    """Send the members and a ``SHA256SUMS`` that ``sha256sum --check`` reads.

    A file that is not what it should be breaks the transfer off: an archive that arrives whole is true.
    """
    _check_names(members)
    missing = next((member for member in members if not _is_there(member)), None)
    if missing is not None:
        raise NotFound
    headers = {
        "Content-Type": "application/zip",
        "Content-Length": str(_length(members)),
        "Content-Disposition": content_disposition_header(True, shown_name(name)) or "attachment",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    return StreamingHttpResponse(_InThreads(_pieces(members)), headers=headers)


class _InThreads:
    """A synchronous generator for the event loop: each step runs in a thread, and it ends with the response."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await asyncio.to_thread(next, self.pieces, None)
        if piece is None:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        # A reader that leaves during a step: the generator is closed when the last reference to it goes.
        with suppress(ValueError):
            self.pieces.close()  # type: ignore[attr-defined]  # it is a generator


class _Sink:
    """Where the archive is written to and taken from; not seekable, so sizes follow the content."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def write(self, content: bytes) -> int:
        self.waiting.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self.waiting)
        self.waiting.clear()
        return taken


def _pieces(members: Sequence[ZipMember]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for member in members:
            yield from _member_pieces(archive, sink, member)
        with archive.open(_entry(MANIFEST), "w", force_zip64=True) as target:
            target.write(_manifest(members))
    yield sink.take()


def _member_pieces(archive: zipfile.ZipFile, sink: _Sink, member: ZipMember) -> Iterator[bytes]:
    digest, left = hashlib.sha256(), member.size_bytes
    with _open(member.path) as source, archive.open(_entry(member.name), "w", force_zip64=True) as target:
        while piece := source.read(min(PIECE_BYTES, left)):
            digest.update(piece)
            target.write(piece)
            left -= len(piece)
            yield sink.take()
    if left or digest.hexdigest() != member.sha256:
        raise OSError(
            f"{member.name} is not the file whose checksum was recorded; the download is broken off"
        )


def _open(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry


def _manifest(members: Sequence[ZipMember]) -> bytes:
    return "".join(f"{member.sha256}  {member.name}\n" for member in members).encode()


def _check_names(members: Sequence[ZipMember]) -> None:
    seen = {MANIFEST}
    for member in members:
        parts = PurePosixPath(member.name).parts
        if not parts or member.name.startswith("/") or ".." in parts or "\\" in member.name:
            raise ValueError(f"{member.name!r} is not a name for an archive")
        if member.name in seen:
            raise ValueError(f"{member.name!r} stands in the archive twice")
        seen.add(member.name)


def _is_there(member: ZipMember) -> bool:
    return not member.path.is_symlink() and member.path.is_file()


def _length(members: Sequence[ZipMember]) -> int:
    """Bytes of the archive, so that the reader sees how far it is and notices when it breaks off."""
    entries = [(member.name, member.size_bytes) for member in members]
    entries.append((MANIFEST, len(_manifest(members))))
    limit = zipfile.ZIP64_LIMIT
    offset = central = 0
    for name, size in entries:
        letters = len(name.encode())
        wide = 16 * (size > limit) + 8 * (offset > limit)
        central += _CENTRAL + letters + (4 + wide if wide else 0)
        offset += _LOCAL + letters + size + _DESCRIPTOR
    is_wide = len(entries) > zipfile.ZIP_FILECOUNT_LIMIT or offset > limit or central > limit
    return offset + central + (_END_64 if is_wide else 0) + _END
