"""A register of VAT ids on this machine that answers as the real one does, or goes wrong in one of its ways."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Register:
    """``in_force`` are the ids it knows; ``fault`` is how it fails; ``answer`` has them all."""

    in_force: set[str] = field(default_factory=set)
    fault: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/check-vat-number"

    def answer(self, question: dict[str, str]) -> tuple[int, bytes]:
        country, number = question["countryCode"], question["vatNumber"]
        told: dict[str, Any] = {
            "countryCode": country,
            "vatNumber": number,
            "requestDate": "2026-03-01T10:00:00.000Z",
            "valid": country + number in self.in_force,
            "requestIdentifier": f"WAPIAAAAY{len(self.asked):07d}",
            "name": "INSTITUT FUR STRUKTURBIOLOGIE",
            "address": "HAUPTSTR. 1\n10115 BERLIN",
        }
        match self.fault:
            case "down":
                return 500, b'{"actionSucceed":false,"errorWrappers":[{"error":"MS_UNAVAILABLE"}]}'
            case "refusing":
                return 200, b'{"actionSucceed":false,"errorWrappers":[{"error":"MS_MAX_CONCURRENT_REQ"}]}'
            case "slow":
                time.sleep(3)
            case "garbage":
                return 200, b"<html><body>valid: true</body></html>"
            case "unproven":
                told["requestIdentifier"] = ""
            case "country":
                told |= {"countryCode": "FR", "valid": True}
        return 200, json.dumps(told).encode()


def _handler(register: Register) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            register.asked.append(question)
            status, body = register.answer(question)
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def registering() -> Iterator[Register]:
    register = Register()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(register)) as server:
        server.daemon_threads = True
        server.block_on_close = False
        register.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield register
        finally:
            server.shutdown()
            thread.join()
