"""What the journey in the browser is made of: micrographs, a mailbox, a page that is watched."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

POLL_S = 0.5


@dataclass(frozen=True)
class Micrographs:
    """A folder, and what one must know of it."""

    folder: Path
    profile: dict[str, str]
    diameter_angstrom: str
    symmetry: str


class Mailbox:
    """Keeps what arrives, as aiosmtpd hands it over."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.texts.append(mail.get_body(("plain",)).get_content())
        return "250 kept"

    def code(self) -> str:
        """The code of the latest mail."""
        wait_until(lambda: self.texts, 60)
        found = re.search(r"^\s+([A-Z0-9]{4}-[A-Z0-9]{4})\s*$", self.texts[-1], re.MULTILINE)
        assert found, self.texts[-1]
        return found[1]


@dataclass
class Watched:
    """A page, and all that must not happen on it."""

    page: Any
    address: str
    home: Path
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(f"{self.page.url}: {error}"))
        self.page.on("console", self._hear)
        self.page.on("request", self._see)
        self.page.on("response", self._answered)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{self.page.url}: {message.text}")

    def _see(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.foreign.append(request.url)

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.errors.append(f"{self.page.url}: {response.status} {response.url}")

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)


def wait_until(condition: Callable[[], Any], seconds: float) -> Any:
    """The first true answer; pages under a strict policy are asked from outside."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"did not come to be within {seconds:.0f} s")
