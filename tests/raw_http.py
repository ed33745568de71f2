"""HTTP/1.1 by hand, for what a well-behaved client would never send and for lengths that it would not check."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class RawConnection:
    """One socket to a server; ``source`` is the loopback address that it comes from."""

    def __init__(self, address: str, *, source: str = "127.0.0.1", timeout_s: float = 20) -> None:
        where = urlsplit(address)
        self.host = where.netloc
        self.socket = socket.create_connection(
            (where.hostname, where.port), timeout=timeout_s, source_address=(source, 0)
        )
        self._unread = b""

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Headers are written with underscores for hyphens; a Content-Length that is given is not corrected."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        if body and not {"Content-Length", "Transfer-Encoding"} & given.keys():
            given["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {text}" for name, text in given.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self, method: str = "GET") -> RawAnswer:
        """Exactly one answer, read by its own length; what follows it stays for the next."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in head[1:] if line)}
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = self._bytes(int(headers["content-length"]))
        return RawAnswer(status, headers, body)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> RawAnswer:
        self.send(method, path, body, **headers)
        return self.answer(method)

    def is_closed(self) -> bool:
        """Waits for the server to close."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.socket.close()

    def _until(self, end: bytes) -> bytes:
        while end not in self._unread:
            self._more()
        found, _, self._unread = self._unread.partition(end)
        return found

    def _bytes(self, length: int) -> bytes:
        while len(self._unread) < length:
            self._more()
        found, self._unread = self._unread[:length], self._unread[length:]
        return found

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self._until(b"\r\n"), 16):
            found += self._bytes(size)
            self._until(b"\r\n")
        self._until(b"\r\n")
        return found

    def _more(self) -> None:
        came = self.socket.recv(1 << 16)
        if not came:
            raise ConnectionError("the server closed in the middle of an answer")
        self._unread += came
