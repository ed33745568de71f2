"""The body of one request: how large by route, how slow, and what becomes of one that nobody wants.

Django gathers a body whole before a view may refuse it. Here it is counted while it comes, so that what is too large or
too slow ends before anything is kept.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

BODY_BYTES_MAX = 3_000_000
TUS_BYTES_MAX = 64 << 10
FORM_UPLOAD_BYTES_MAX = 1 << 30
# Bodies that are on their way, all requests together and those of one client.
HELD_BYTES_MAX = 96_000_000
HELD_BYTES_PER_CLIENT = 24_000_000
# The same of large forms, as they announce themselves: Django keeps each two times on the disk.
HELD_FORM_BYTES_MAX = 2 * FORM_UPLOAD_BYTES_MAX
HELD_FORM_BYTES_PER_CLIENT = FORM_UPLOAD_BYTES_MAX
LINGER_S = 2.0
DISCONNECT = {"type": "http.disconnect"}

_FORM_UPLOAD = re.compile(r"/datasets/([^/]+)/upload/")
Refusal = tuple[int, str]


def announced_bytes(scope: Any) -> int:
    text = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


def large_form(scope: Any) -> str:
    """The dataset that an upload form for browsers without script goes to, if it is larger than other bodies."""
    match = _FORM_UPLOAD.fullmatch(scope["path"]) if scope["method"] == "POST" else None
    is_large = BODY_BYTES_MAX < announced_bytes(scope) <= FORM_UPLOAD_BYTES_MAX
    return match[1] if match and is_large else ""


def body_bytes_max(scope: Any) -> int | None:
    """None: the application counts by itself, as tus does against the announced size of the file."""
    headers = dict(scope["headers"])
    if scope["path"].startswith("/uploads/"):
        method = headers.get(b"x-http-method-override", scope["method"].encode()).upper()
        return None if method == b"PATCH" else TUS_BYTES_MAX
    return FORM_UPLOAD_BYTES_MAX if large_form(scope) else BODY_BYTES_MAX


class HeldBytes:
    """Bytes of bodies that are kept until their requests end; many small ones are one large one."""

    def __init__(self, bytes_max: int, per_client: int) -> None:
        self._bytes_max = bytes_max
        self._per_client = per_client
        self._of_client: Counter[str] = Counter()

    def take(self, client: str, size_bytes: int) -> bool:
        fits = self._of_client.total() + size_bytes <= self._bytes_max
        if not fits or self._of_client[client] + size_bytes > self._per_client:
            return False
        self._of_client[client] += size_bytes
        return True

    def give_back(self, client: str, size_bytes: int) -> None:
        self._of_client[client] -= size_bytes
        if not self._of_client[client]:
            del self._of_client[client]


class Body:
    """Stands between the server and the application as the latter's ``receive``."""

    def __init__(self, scope: Any, receive: Any, *, bytes_max: int | None, wait_s: float) -> None:
        headers = dict(scope["headers"])
        self.announced_bytes = announced_bytes(scope)
        self.is_expected = self.announced_bytes > 0 or b"transfer-encoding" in headers
        self.is_complete = not self.is_expected
        self.refusal: Refusal | None = None
        self.received_bytes = 0
        self._receive = receive
        self._bytes_max = bytes_max
        self._ends_s = None if bytes_max is None else asyncio.get_running_loop().time() + wait_s
        if bytes_max is not None and self.announced_bytes > bytes_max:
            self.refusal = self._too_large()

    @property
    def is_counted(self) -> bool:
        return self._bytes_max is not None and not self.is_large_form

    @property
    def is_large_form(self) -> bool:
        return self._bytes_max == FORM_UPLOAD_BYTES_MAX

    def refuse(self, status: int, sentence: str) -> dict[str, Any]:
        """From here on the application sees a client that has gone; the front door answers in its place."""
        self.refusal = (status, sentence)
        return DISCONNECT

    async def receive(self) -> Any:
        if self.refusal is not None:
            return DISCONNECT
        if self.is_complete and self.is_expected:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends_s if self.is_expected else None):
                message = await self._receive()
        except TimeoutError:
            return self.refuse(408, "The body of the request did not arrive in time.")
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)
            if self._bytes_max is not None and self.received_bytes > self._bytes_max:
                self.refusal = self._too_large()
                return DISCONNECT
        return message

    async def drain(self) -> None:
        """Let the rest come for a moment: a socket closed over unread bytes takes the answer along."""
        try:
            async with asyncio.timeout(LINGER_S):
                while not self.is_complete:
                    message = await self._receive()
                    self.is_complete = message == DISCONNECT or not message.get("more_body", False)
        except TimeoutError:
            return

    def _too_large(self) -> Refusal:
        return 413, f"A request here may have {self._bytes_max:,} bytes. Send files by tus, to /uploads/."
