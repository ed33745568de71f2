"""What a week of notices needs: a clock that is set forward, a mail server, webhooks, a worker that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from django.conf import settings

from cryocloud.web.core import clock
from cryocloud.web.core.models import BackgroundTask
from web.notices.receiver import Receiver

TESTS = Path(__file__).parents[1]
WORKER = """
import datetime, pathlib, sys, threading
from cryocloud.web.core import clock
ahead = pathlib.Path(sys.argv[1])
class Ahead(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.datetime.now(zone) + datetime.timedelta(seconds=float(ahead.read_text()))
clock.datetime = Ahead
import django
django.setup()
from cryocloud.web.operations import worker
worker.keep_appointments = lambda: None
worker.work(threading.Event())
"""


@dataclass
class Calendar:
    """The clock of this process and of the worker, which reads ``file``."""

    file: Path
    ahead_s: float = 0.0

    def start(self, monkeypatch: Any) -> None:
        real, calendar = clock.datetime, self

        class Ahead(real):  # type: ignore[misc, valid-type]
            @classmethod
            def now(cls, zone: Any = None) -> Any:
                return real.now(zone) + timedelta(seconds=calendar.ahead_s)

        monkeypatch.setattr(clock, "datetime", Ahead)
        self.pass_s(0)

    def pass_s(self, seconds: float) -> None:
        self.ahead_s += seconds
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(self.ahead_s))
        fresh.replace(self.file)


@dataclass
class MailServer:
    """As aiosmtpd calls it; ``refusal`` is said to every mail while it is set."""

    refusal: str = ""
    mails: list[tuple[str, str, str]] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusal.startswith("RCPT "):
            return self.refusal.removeprefix("RCPT ")
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refusal:
            return self.refusal.removeprefix("DATA ")
        mail = message_from_bytes(envelope.content, policy=policy.default)
        body = mail.get_body(("plain",)).get_content()
        self.mails.append((envelope.rcpt_tos[0], mail["Subject"], body))
        await asyncio.sleep(0.03)  # time in which the worker may be killed
        return "250 kept"


@dataclass
class Worker:
    """The real one, in a process of its own."""

    home: Path
    database: str
    calendar: Calendar
    smtp_port: int
    kills: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("CRYOCLOUD_")}
        own = {
            "PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS.parent / "src"))),
            "DJANGO_SETTINGS_MODULE": "served_settings",
            "TEST_DATABASE": self.database,
            "CRYOCLOUD_HOME": str(self.home),
            "CRYOCLOUD_SECRET_KEY": settings.SECRET_KEY,
            "CRYOCLOUD_SMTP_URL": f"smtp://127.0.0.1:{self.smtp_port}",
            "CRYOCLOUD_WEBHOOK_NETWORKS": "127.0.0.0/8",
        }
        with (self.home / "worker.log").open("ab") as log:
            command = [sys.executable, "-c", WORKER, str(self.calendar.file)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=kept | own)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def settle(self, timeout_s: float = 120.0) -> None:
        """Until nothing is due and nothing in hand."""
        deadline_s = time.monotonic() + timeout_s
        while _is_busy():
            assert time.monotonic() < deadline_s, (self.home / "worker.log").read_text()[-3000:]
            time.sleep(0.05)


def _is_busy() -> bool:
    states = BackgroundTask.State
    rows = BackgroundTask.objects.filter(priority__lt=0, priority__gt=-10)
    return (
        rows.filter(state=states.READY, run_after__lte=clock.now()).exists()
        or rows.filter(state=states.RUNNING).exists()
    )


@dataclass
class Person:
    """Somebody as the test knows them, by what it did to them."""

    member: Any
    mails: set[str] = field(default_factory=lambda: {"done", "failed", "needs_you"})
    choices: dict[str, str] = field(default_factory=dict)
    is_member: bool = True
    has_address: bool = True

    @property
    def email(self) -> str:
        return str(self.member.user.email)

    def hears_of(self, project_id: str, *, is_own: bool) -> bool:
        choice = self.choices.get(project_id)
        return self.is_member and choice != "mute" and (is_own or choice == "follow")

    def wants(self, kind: str, project_id: str) -> bool:
        is_on = kind in self.mails and self.choices.get(project_id) != "mute"
        return self.is_member and self.has_address and is_on


Key = tuple[str, str, str]


@dataclass
class Ledger:
    """What has to arrive: a mail is decided when it can be sent, at once or at the end of an outage."""

    notices: Counter[Key] = field(default_factory=Counter)
    mails: Counter[Key] = field(default_factory=Counter)
    calls: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    held: list[tuple[Person, Key, str, str]] = field(default_factory=list)

    def note(self, person: Person, key: Key, kind: str, project_id: str, *, is_outage: bool) -> None:
        self.notices[key] += 1
        if is_outage:
            self.held.append((person, key, kind, project_id))
        elif person.wants(kind, project_id):
            self.mails[key] += 1

    def end_outage(self) -> None:
        for person, key, kind, project_id in self.held:
            if person.wants(kind, project_id):
                self.mails[key] += 1
        self.held.clear()


def key_of_mail(mail: tuple[str, str, str]) -> Key:
    """Recipient, address of the page, state."""
    recipient, subject, body = mail
    page = next(line.split("/", 3)[3] for line in body.splitlines() if "/runs/" in line or "/jobs/" in line)
    return recipient, f"/{page}", subject.strip().partition(":")[0].partition(" at ")[0]


def accepted(receiver: Receiver) -> tuple[Counter[tuple[str, str]], int]:
    """Calls by page and state, each id once; and how many came again."""
    by_id = {one.headers["webhook-id"]: json.loads(one.body) for one in receiver.taken}
    told = [content["data"] for content in by_id.values()]
    counted = Counter((one["url"].split("/", 3)[3], one["state"]) for one in told)
    return counted, len(receiver.taken) - len(by_id)
