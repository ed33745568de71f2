"""Files for browsers: whole or one byte range, resumable, in pieces, and never run by the browser as a page of ours."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from cryocloud.compute.foreign import BadRecord, open_below
from cryocloud.web.core.errors import NotFound

PIECE_BYTES = 512 * 1024
NAME_LENGTH = 200
# What a browser may show in place; everything else is offered for saving, whatever the caller asked for.
SHOWN_IN_PLACE = frozenset({"image/png", "image/webp", "image/jpeg", "application/json"})
_HARMLESS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class _Unsatisfiable(Exception):
    """No byte of the file lies in the range that was asked for."""


class _Pieces:
    """Bytes ``begin`` to ``end`` of an open file. ``close`` is called by the response, read to its end or not."""

    def __init__(self, descriptor: int, begin: int, end: int) -> None:
        self.descriptor, self.at, self.end = descriptor, begin, end

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.at >= self.end:
            raise StopAsyncIteration
        wanted = min(PIECE_BYTES, self.end - self.at)
        piece = await asyncio.to_thread(os.pread, self.descriptor, wanted, self.at)
        if not piece:
            raise OSError(f"the file ended {self.end - self.at} bytes before its announced length")
        self.at += len(piece)
        return piece

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def ranged_response(
    request: HttpRequest,
    path: Path,
    *,
    name: str,
    media_type: str = "application/octet-stream",
    sha256: str = "",
    inline: bool = False,
    below: Path | None = None,
) -> HttpResponseBase:
    """Answer GET and HEAD with the file at ``path``, or with the one range that was asked for.

    ``below``: a folder that a job writes at this moment; no link on the way from there is followed.
    The pieces are read by an asynchronous iterator: a synchronous one would be read into memory as a whole under ASGI.
    """
    descriptor, facts = _open(path, below)
    pieces = _Pieces(descriptor, 0, facts.st_size)
    etag = f'"{sha256 or f"{facts.st_size:x}-{facts.st_mtime_ns:x}"}"'
    response = _answer(request, pieces, etag)
    if response.status_code in (200, 206):
        in_place = inline and media_type in SHOWN_IN_PLACE
        disposition = content_disposition_header(not in_place, shown_name(name))
        response.headers["Content-Disposition"] = disposition or "inline"
        response.headers["Content-Type"] = media_type
    for header, content in (_HARMLESS | {"ETag": etag}).items():
        response.headers[header] = content
    return response


def shown_name(name: str) -> str:
    """A name for saving: one path component, without control and direction characters."""
    plain = "".join("_" if unicodedata.category(letter)[0] == "C" else letter for letter in name)
    return re.sub(r'[\\/:*?"<>|]', "_", plain).strip(". ")[-NAME_LENGTH:] or "file"


def _open(path: Path, below: Path | None) -> tuple[int, os.stat_result]:
    """A regular file that is not a link: results and uploads hold no links that should be followed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = open_below(below, str(path.relative_to(below))) if below else os.open(path, flags)
    except (OSError, ValueError, BadRecord):
        raise NotFound from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise NotFound
    return descriptor, facts


def _answer(request: HttpRequest, pieces: _Pieces, etag: str) -> HttpResponseBase:
    if _knows(request.headers.get("If-None-Match", ""), etag):
        pieces.close()
        return HttpResponse(status=304)
    size = pieces.end
    try:
        wanted = _range_of(request, size, etag)
    except _Unsatisfiable:
        pieces.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    pieces.at, pieces.end = wanted or (0, size)
    headers = {"Content-Length": str(pieces.end - pieces.at)}
    if wanted:
        headers["Content-Range"] = f"bytes {pieces.at}-{pieces.end - 1}/{size}"
    status = 206 if wanted else 200
    if request.method == "HEAD":
        pieces.close()
        return HttpResponse(status=status, headers=headers)
    return StreamingHttpResponse(pieces, status=status, headers=headers)


def _knows(header: str, etag: str) -> bool:
    known = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return etag in known or "*" in known


def _range_of(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole file.

    A header that is malformed, of several ranges, or conditional on another version is passed over, as RFC 9110 allows.
    """
    asked = _ONE_RANGE.fullmatch(request.headers.get("Range", "").strip())
    if asked is None or request.headers.get("If-Range", etag).strip() != etag:
        return None
    first, last = asked.groups()
    if (not first and not last) or (first and last and int(last) < int(first)):
        return None
    begin = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if begin >= end:
        raise _Unsatisfiable
    return begin, end
