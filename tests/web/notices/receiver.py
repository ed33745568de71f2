"""Whoever is called by a webhook: a real server on the loopback interface, which answers as it is told to."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes
    path: str
    status: int


@dataclass
class Receiver:
    """``answer`` gives the status for each call; None hangs up without one."""

    answer: Callable[[], int | None] = lambda: 204
    extra: dict[str, str] = field(default_factory=dict)
    calls: list[Received] = field(default_factory=list)
    drip_s: float = 0.0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?from=lab"

    @property
    def taken(self) -> list[Received]:
        return [one for one in self.calls if 200 <= one.status < 300]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.answer()
            headers = {name.lower(): text for name, text in self.headers.items()}
            receiver.calls.append(Received(headers, body, self.path, status or 0))
            if status is None:
                return
            with suppress(BrokenPipeError, ConnectionResetError):
                self._say(status)

        def _say(self, status: int) -> None:
            for letter in b"HTTP/1.1 2" if receiver.drip_s else b"":
                self.wfile.write(bytes([letter]))
                time.sleep(receiver.drip_s)
            self.send_response(status)
            for name, text in receiver.extra.items():
                self.send_header(name, text)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver)) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
