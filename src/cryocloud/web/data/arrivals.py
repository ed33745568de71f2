"""Bytes on their way from a connection into a partial file."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cryocloud.web.data.partial_file import Busy, PartialFile

PIECE_BYTES = 1 << 20
FLUSH_S = 0.2
IDLE_S = 60.0
SILENT_S = 5.0
_GIVE_UP_S = 10.0
_HASHES_KEPT = 1000

Receive = Any  # the ASGI callable
Digest = Any  # hashlib publishes no public type


class Silent(Exception):
    """Nothing has come for so long that the connection is taken for dead."""


class Gone(Exception):
    """The connection has ended before its request."""


@dataclass(eq=False)
class Arrival:
    """One request that makes one partial file longer."""

    upload_id: str
    file: PartialFile
    last_byte_s: float = field(default_factory=time.monotonic)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Timeout | None = None
    is_given_up: bool = False
    is_forbidden: bool = False

    def give_up(self) -> None:
        """Let the request end at the next moment at which it waits for bytes."""
        self.is_given_up = True
        if self.waiting is not None:
            self.waiting.reschedule(asyncio.get_running_loop().time())

    def forbid(self) -> None:
        """The same, because its sender has lost the right to it."""
        self.is_forbidden = True
        self.give_up()


class Receiver:
    """The arrivals of this process, and the running hashes of files whose beginning it has seen."""

    def __init__(self) -> None:
        self.arrivals: dict[str, Arrival] = {}
        self.hashes: OrderedDict[str, tuple[int, Digest]] = OrderedDict()

    async def claim(self, upload_id: str) -> Arrival:
        """Become the one writer. One whose connection is silent gives way, one that still gets bytes does not."""
        former = self.arrivals.get(upload_id)
        if former is not None and time.monotonic() - former.last_byte_s > SILENT_S:
            former.give_up()
            try:
                await asyncio.wait_for(former.ended.wait(), _GIVE_UP_S)
            except TimeoutError:
                raise Busy("Another connection still holds this file; try again later.") from None
        file = await asyncio.to_thread(PartialFile, upload_id)
        arrival = self.arrivals[upload_id] = Arrival(upload_id, file)
        return arrival

    def release(self, arrival: Arrival) -> None:
        arrival.file.close()
        arrival.ended.set()
        if self.arrivals.get(arrival.upload_id) is arrival:
            del self.arrivals[arrival.upload_id]

    async def take(self, arrival: Arrival, receive: Receive, wanted: int, check: Digest | None) -> int:
        """Append what comes, up to ``wanted`` bytes, and sync it however it ends; gives the number that came beyond."""
        digest = self._running_hash(arrival)
        surplus = 0
        try:
            async for piece in _pieces(arrival, receive):
                kept = memoryview(piece)[:wanted]
                wanted -= len(kept)
                surplus += len(piece) - len(kept)
                await asyncio.to_thread(_keep, arrival.file, kept, digest, check)
                self._remember(arrival, digest)
        except BaseException:
            with suppress(OSError):
                arrival.file.sync()
            raise
        await asyncio.to_thread(arrival.file.sync)
        return surplus

    def full_hash(self, upload_id: str, size_bytes: int) -> str:
        """The SHA-256 of a file that has passed through this process from its first to its last byte, or ""."""
        length, digest = self.hashes.get(upload_id, (-1, None))
        return digest.hexdigest() if length == size_bytes else ""

    def forget(self, upload_id: str) -> None:
        self.hashes.pop(upload_id, None)

    def _running_hash(self, arrival: Arrival) -> Digest | None:
        length, digest = self.hashes.pop(arrival.upload_id, (0, None))
        if length != arrival.file.length:
            return None
        return digest or hashlib.sha256()

    def _remember(self, arrival: Arrival, digest: Digest | None) -> None:
        if digest is not None:
            self.hashes[arrival.upload_id] = (arrival.file.length, digest)
            self.hashes.move_to_end(arrival.upload_id)
            if len(self.hashes) > _HASHES_KEPT:
                self.hashes.popitem(last=False)


def _keep(file: PartialFile, piece: memoryview, digest: Digest | None, check: Digest | None) -> None:
    before = file.length
    try:
        file.append(piece)
    finally:
        written = piece[: file.length - before]
        for running in (digest, check):
            if running is not None:
                running.update(written)


async def _pieces(arrival: Arrival, receive: Receive) -> AsyncIterator[bytearray]:
    """The body in pieces of about 1 MiB, smaller where it comes slowly; what came last goes before the error."""
    gathered = bytearray()
    ending: Exception | None = None
    more = True
    while more and ending is None:
        message = await _next_message(arrival, receive, FLUSH_S if gathered else IDLE_S)
        if message is None:
            ending = None if gathered and not arrival.is_given_up else Silent()
        elif message["type"] == "http.disconnect":
            ending = Gone()
        else:
            gathered += message.get("body", b"")
            more = message.get("more_body", False)
        if gathered and (message is None or ending or len(gathered) >= PIECE_BYTES or not more):
            yield gathered
            gathered = bytearray()
    if ending is not None:
        raise ending


async def _next_message(arrival: Arrival, receive: Receive, timeout_s: float) -> Any:
    """What comes next, or None if nothing has come for that long or the file is wanted by another request."""
    if arrival.is_given_up:
        return None
    try:
        async with asyncio.timeout(timeout_s) as arrival.waiting:
            message = await receive()
    except TimeoutError:
        return None
    finally:
        arrival.waiting = None
    arrival.last_byte_s = time.monotonic()
    return message
