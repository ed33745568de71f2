"""Connections: how many there may be, how long a silent one is kept, how long the head of a request may be.

uvicorn with httptools bounds none of these: a connection that sends half a request is held for ever, and a head of any
length is gathered in memory. This subclass adds clocks and counts, and leaves the protocol itself alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cryocloud.web.core.client_address import address_block
from cryocloud.web.front.refusals import refusal

HEAD_BYTES_MAX = 64 << 10
# Requests that wait behind one that is being answered. uvicorn parses all that came, 14,000 small ones in one read.
PIPELINED_MAX = 16
WRITE_STALL_S = 60.0
REPORT_S = 60.0
_log = logging.getLogger("cryocloud.front")
HEAD_TOO_LONG = f"The address and headers of a request may have {HEAD_BYTES_MAX:,} bytes."


class Door:
    """Who is inside. Proxies are not counted by address, because all visitors come through them."""

    def __init__(
        self, *, connections: int, per_client: int, head_wait_s: float, proxies: tuple[str, ...]
    ) -> None:
        self.head_wait_s = head_wait_s
        self._connections = connections
        self._per_client = per_client
        self._proxies = {address_block(proxy) for proxy in proxies}
        self._inside: dict[GuardedProtocol, str] = {}
        self._of_client: Counter[str] = Counter()
        # Without a request, longest first: when the house is full, these make room.
        self._idle: dict[GuardedProtocol, None] = {}
        self._refused = 0
        self._report_at_s = 0.0

    def enter(self, protocol: GuardedProtocol, address: str) -> bool:
        client = address_block(address)
        if client not in self._proxies and self._of_client[client] >= self._per_client:
            self._note_refusal()
            return False
        if len(self._inside) >= self._connections:
            longest = next(iter(self._idle), None)
            self._note_refusal()
            if longest is None:
                return False
            self.leave(longest)
            longest.transport.abort()
        self._inside[protocol] = client
        self._of_client[client] += 1
        self._idle[protocol] = None
        return True

    def leave(self, protocol: GuardedProtocol) -> None:
        self._idle.pop(protocol, None)
        client = self._inside.pop(protocol, None)
        if client is not None:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    def _note_refusal(self) -> None:
        """One line a minute: a flood of connections must not become a flood of the log."""
        self._refused += 1
        if time.monotonic() > self._report_at_s:
            self._report_at_s = time.monotonic() + REPORT_S
            _log.warning("connections refused or ended", extra={"since_the_start": self._refused})

    def note_request(self, protocol: GuardedProtocol) -> None:
        self._idle.pop(protocol, None)

    def note_idle(self, protocol: GuardedProtocol) -> None:
        if protocol in self._inside:
            self._idle[protocol] = None


class TooManyWait(Exception):
    """Raised in the parser, which stops there."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection, with a clock for the head of each request and one for a reader that stands still."""

    def __init__(self, door: Door, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._door = door
        self._awaits_head = True
        self._is_answering = False
        self._head_bytes = 0
        # Since the last piece of a body: what comes between pieces and behind them, trailers, is kept by the parser.
        self._between_bytes = 0
        self._head_clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if self._door.enter(self, self.client[0] if self.client else ""):
            self._start_head_clock()
        else:
            self._refuse(429, "Too many connections are open; close some and try again.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_clock()
        self.resume_writing()
        self._door.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._awaits_head:
            self._head_bytes += len(data)
            self._start_head_clock()
        self._between_bytes += len(data)
        super().data_received(data)
        if self._awaits_head and self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(431, HEAD_TOO_LONG)
        elif not self._awaits_head and self._between_bytes > HEAD_BYTES_MAX:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            self.transport.abort()
            raise TooManyWait
        self._awaits_head, self._head_bytes, self._between_bytes = False, 0, 0
        self._is_answering = True
        self._stop_head_clock()
        self._door.note_request(self)
        # A long head that came in one piece: it is parsed, but goes no further.
        app = self.app
        if len(self.url) + sum(len(name) + len(text) for name, text in self.headers) > HEAD_BYTES_MAX:
            self.app = _refuse_long_head
        super().on_headers_complete()
        self.app = app

    def on_body(self, body: bytes) -> None:
        self._between_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._awaits_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._is_answering = bool(self.pipeline)
        super().on_response_complete()
        if not self._is_answering:
            self._door.note_idle(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_clock is None:
            self._write_clock = self.loop.call_later(WRITE_STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None
        super().resume_writing()

    def _start_head_clock(self) -> None:
        if self._head_clock is None:
            self._head_clock = self.loop.call_later(self._door.head_wait_s, self._head_is_late)

    def _stop_head_clock(self) -> None:
        if self._head_clock is not None:
            self._head_clock.cancel()
            self._head_clock = None

    def _head_is_late(self) -> None:
        if self._head_bytes and not self._is_answering:
            self._refuse(408, "The request did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer without a request, and close."""
        if self.transport.is_closing():
            return
        start, body = refusal("", status, sentence)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        lines += [name + b": " + text for name, text in start["headers"]]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        self.transport.close()


async def _refuse_long_head(scope: Any, receive: Any, send: Any) -> None:
    start, body = refusal(scope["path"], 431, HEAD_TOO_LONG)
    await send(start)
    await send({"type": "http.response.body", "body": body})
