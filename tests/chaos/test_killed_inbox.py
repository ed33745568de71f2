"""The inbox of a real platform is killed again and again while mails come in: none is lost, none is kept twice."""

from __future__ import annotations

import os
import signal
import smtplib
import sqlite3
import threading
import time
from contextlib import closing, suppress

import pytest

from free_port import free_port
from platform_up import running, wait_for

pytestmark = pytest.mark.slow
CONTACT = "help@cryocloud.example"
MAILS, SENDERS, KILLS = 120, 30, 12


def deliver(port: int, number: int) -> None:
    """As a mail server does it: until it is told that the mail was taken, and again where it was not told."""
    sender = f"p{number % SENDERS}@uni.example"
    content = (
        f"From: {sender}\r\nSubject: no. {number}\r\nMessage-ID: <{number}@uni.example>\r\n\r\nHello\r\n"
    )
    while True:
        with suppress(OSError, smtplib.SMTPException), smtplib.LMTP("127.0.0.1", port, timeout=20) as server:
            if not server.sendmail(sender, [CONTACT], content):
                return
        time.sleep(0.1)


def test_each_mail_is_kept_once_however_often_the_inbox_is_killed(tmp_path):
    port = free_port()
    with running(tmp_path / "home", CRYOCLOUD_CONTACT=CONTACT, CRYOCLOUD_INBOX_PORT=str(port)) as platform:
        platform.wait_ready()
        wait_for(lambda: "inbox" in platform.children())
        sending = [
            threading.Thread(
                target=lambda first=first: [deliver(port, one) for one in range(first, MAILS, 6)]
            )
            for first in range(6)
        ]
        for thread in sending:
            thread.start()
        for _ in range(KILLS):
            time.sleep(0.7)
            if "inbox" in platform.children():
                os.kill(platform.children()["inbox"], signal.SIGKILL)
        for thread in sending:
            thread.join(timeout=240)
            assert not thread.is_alive()
        with closing(sqlite3.connect(tmp_path / "home" / "db.sqlite3")) as database:
            subjects = [row[0] for row in database.execute("SELECT subject FROM inbox_mail")]
            requests = database.execute("SELECT count(*) FROM inbox_invitationrequest").fetchone()[0]
        assert sorted(subjects) == sorted(f"no. {number}" for number in range(MAILS))
        assert requests == MAILS
