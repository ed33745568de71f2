"""A platform at work for a walk by the test clock: its mails, its tabs, its operator's link."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

from journey_parts import wait_until
from platform_up import Platform, environment
from web.browsing import Look

MAIL_S = 90


def app_code(secret: str) -> str:
    """What an authenticator app with this secret has shown last."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 - 1)))


class Letters:
    """Keeps what arrives: to whom, about what, and the words."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        text = mail.get_body(("plain",)).get_content()
        self.mails.append((str(mail["To"]), str(mail["Subject"]), text))
        return "250 kept"

    def about(self, pattern: str) -> str:
        """The words of the latest mail whose subject is like that."""

        def found() -> list[str]:
            return [text for _, subject, text in self.mails if re.search(pattern, subject)]

        try:
            return wait_until(found, MAIL_S)[-1]
        except AssertionError:
            raise AssertionError(f"no mail about {pattern}: {[one[:2] for one in self.mails]}") from None

    def code(self) -> str:
        def found() -> Any:
            return self.mails and re.search(r"^\s+([A-Z0-9]{4}-[A-Z0-9]{4})\s*$", self.mails[-1][2], re.M)

        return str(wait_until(found, MAIL_S)[1])


@dataclass
class Stage:
    """The platform, its clock, its mails, and tabs."""

    platform: Platform
    settings: dict[str, str]
    letters: Letters
    browser: Any = None
    tabs: list[Look] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.platform.port}"

    def tab(self) -> Look:
        context = self.browser.new_context(
            base_url=self.address, viewport={"width": 1280, "height": 900}, accept_downloads=True
        )
        self.tabs.append(Look(context.new_page(), self.address))
        self.tabs[-1].page.set_default_timeout(20_000)
        return self.tabs[-1]

    def tell(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            env=environment(self.settings | {"CRYOCLOUD_HOME": str(self.platform.home)}),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def set_clock(self, moment: datetime) -> None:
        self.tell("-m", "cryocloud.web", "set_clock", moment.isoformat())

    @property
    def now(self) -> datetime:
        """As the home sees it, from what the clock has written down."""
        kept = self.platform.home / "test-clock.json"
        if not kept.exists():
            return datetime.now(UTC)
        facts = json.loads(kept.read_text())
        ahead = datetime.fromisoformat(facts["set_to"]) - datetime.fromisoformat(facts["set_at"])
        return datetime.now(UTC) + ahead

    def first_link(self) -> str:
        """Where the first operator signs up, as the platform has said at its start."""
        assert self.platform.process.stdout is not None
        for line in self.platform.process.stdout:
            if found := re.search(rb"/first-admin/\S+", line):
                return found[0].decode()
        raise AssertionError("no link for the first operator")

    def moment(self, column: str) -> datetime:
        """Of the only subscription."""
        code = (
            "import django; django.setup(); "
            "from cryocloud.web.subscriptions.models import Subscription; "
            f"print(Subscription.unscoped.get().{column}.isoformat())"
        )
        return datetime.fromisoformat(self.tell("-c", code).strip())
