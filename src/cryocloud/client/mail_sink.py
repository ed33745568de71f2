"""A mail server on the loopback interface that keeps what it gets: enough of SMTP for Django to talk to."""

from __future__ import annotations

import re
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy

_ANSWERS = {"EHLO": "250 demo", "HELO": "250 demo", "MAIL": "250 ok", "RCPT": "250 ok", "NOOP": "250 ok"}


class MailSink(socketserver.ThreadingTCPServer):
    """Mails in order of arrival."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.mails: list[bytes] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, pattern: str, *, timeout_s: float) -> str:
        """The first group of ``pattern`` in the plain text of a mail, as soon as there is one."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            for mail in self.mails:
                found = re.search(pattern, _text(mail))
                if found:
                    return found.group(1)
            time.sleep(0.1)
        raise TimeoutError(f"no mail with {pattern!r} came within {timeout_s:.0f} s")


class _Conversation(socketserver.StreamRequestHandler):
    server: MailSink

    def handle(self) -> None:
        self._say("220 demo")
        for line in self.rfile:
            verb = line[:4].upper().decode("ascii", "replace")
            if verb == "QUIT":
                self._say("221 bye")
                return
            if verb == "DATA":
                self._say("354 go on")
                self.server.mails.append(b"".join(self._lines()))
                self._say("250 kept")
            else:
                self._say(_ANSWERS.get(verb, "502 not here"))

    def _lines(self) -> Iterator[bytes]:
        for line in self.rfile:
            if line.rstrip(b"\r\n") == b".":
                return
            yield line.removeprefix(b".")

    def _say(self, words: str) -> None:
        self.wfile.write(words.encode() + b"\r\n")


def _text(mail: bytes) -> str:
    body = message_from_bytes(mail, policy=policy.default).get_body(("plain",))
    return str(body.get_content()).replace("\r\n", "\n") if body else ""


@contextmanager
def mail_sink() -> Iterator[MailSink]:
    """Listens until the block ends."""
    with MailSink() as sink:
        thread = threading.Thread(target=sink.serve_forever, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            sink.shutdown()
            thread.join()
