"""A real listener in a thread, mail servers that hand mails over to it, and operators who read them."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from cryocloud.web.accounts.models import User
from cryocloud.web.configuration import configuration
from cryocloud.web.core.tasks import run_next
from cryocloud.web.inbox.listener import keep, listen
from free_port import free_port

CONTACT = "help@cryocloud.example"
GRACE = "grace@uni.example"


@pytest.fixture(autouse=True)
def contact(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = configuration().model_copy(
        update={"contact": CONTACT, "mail_from": f"CryoCloud <{CONTACT}>", "inbox_port": 2424}
    )
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: site)


@pytest.fixture
def operator(make_member: Callable[..., Any]) -> Any:
    olga = make_member(name="olga")
    User.objects.filter(pk=olga.user.pk).update(is_operator=True)
    olga.user.refresh_from_db()
    return olga


@pytest.fixture
def lmtp(transactional_db: None) -> Iterator[Callable[[], smtplib.LMTP]]:
    """``lmtp()`` is a new connection of a mail server."""
    port, stop = free_port(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_listen(port, stop)), daemon=True)
    thread.start()
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    yield lambda: _greeted(port)
    stop.set()
    thread.join()


def _greeted(port: int) -> smtplib.LMTP:
    server = smtplib.LMTP("127.0.0.1", port, timeout=60)
    server.ehlo()
    return server


async def _listen(port: int, stop: threading.Event) -> None:
    """Connections of the keeper's thread end with the test."""
    try:
        await listen(port, stop, lambda: None)
    finally:
        await asyncio.to_thread(connections.close_all)


def letter(text: str = "Dear all,\nmay I use it for apoferritin?\nGrace", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    given = {
        "From": f"Grace Hopper <{GRACE}>",
        "To": CONTACT,
        "Subject": "May I use CryoCloud?",
        "Message-ID": "<1@uni.example>",
        "Date": "Sat, 28 Nov 2026 10:00:00 +0000",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in given.items():
        if value:
            mail[name] = value
    mail.set_content(text)
    return mail


def arrive(mail: EmailMessage | bytes, *, sender: str = GRACE, recipient: str = CONTACT) -> str:
    """What the mail server is told; straight to where the listener hands it."""
    content = mail if isinstance(mail, bytes) else mail.as_bytes().replace(b"\n", b"\r\n")
    return keep(content, sender, recipient)


def work() -> None:
    while run_next("worker"):
        pass
