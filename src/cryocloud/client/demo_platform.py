"""A platform that lasts as long as the demo, and a person who signs up on its pages like everybody else."""

from __future__ import annotations

import html
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from cryocloud.client.mail_sink import MailSink

NAME, EMAIL, ORGANIZATION = "Demo", "demo@cryocloud.example", "Demo laboratory"
PASSWORD = "a demo of Thon rings"
START_S = 120.0
MAIL_S = 30.0


class DemoFailed(Exception):
    """What did not go as it should; the message says where to look."""


@contextmanager
def running_platform(home: Path, sink: MailSink, settings: dict[str, str]) -> Iterator[str]:
    """``cryocloud up`` in ``home`` until the block ends; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    foreign = ("CRYOCLOUD_", "DJANGO_")
    own = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    own |= {"CRYOCLOUD_SMTP_URL": sink.url, "CRYOCLOUD_SAMPLE_DATA": "false", **settings}
    command = [sys.executable, "-m", "cryocloud.web", "up", "--home", str(home), "--port", str(port)]
    platform = subprocess.Popen(
        command, env=own, stdout=subprocess.PIPE, text=True, start_new_session=True, stdin=subprocess.DEVNULL
    )
    try:
        assert platform.stdout is not None
        if "CryoCloud is at" not in platform.stdout.readline():
            raise DemoFailed(f"the platform did not start; see {home}/logs")
        yield f"http://127.0.0.1:{port}"
    finally:
        platform.terminate()
        platform.wait()


def sign_up(address: str, sink: MailSink) -> str:
    """Fill in the form, type the mailed code, make a token; gives the token."""
    with httpx.Client(base_url=address, follow_redirects=True, timeout=60) as browser:
        mails_before = len(sink.mails)
        given = {"name": NAME, "email": EMAIL, "organization": ORGANIZATION, "password1": PASSWORD}
        page = _send_form(browser, "/accounts/signup/", given)
        del sink.mails[:mails_before]
        code = sink.wait_for(r"(?m)^\s*([A-Z0-9]{3,6}-[A-Z0-9]{3,6}|\d{6})\s*$", timeout_s=MAIL_S)
        page = _send_form(browser, str(page.url), {"code": code})
        tokens = browser.get("/settings/tokens/")
        organization = re.search(r'<option value="([a-z2-9]{26})"', tokens.text)
        if organization is None:
            raise DemoFailed(f"signing up ended at {page.url} instead of the pages for members")
        wanted = {"name": "demo", "organization": organization.group(1), "scope": "write", "days": "7"}
        made = _send_form(browser, "/settings/tokens/", wanted)
        if "/reauthenticate/" in made.url.path:
            _send_form(browser, str(made.url), {"password": PASSWORD})
            made = _send_form(browser, "/settings/tokens/", wanted)
        secret = re.search(r"cryo_[\w-]+", made.text)
        if secret is None:
            raise DemoFailed(f"no token was made: {_plain(made.text)[:300]}")
        return secret.group(0)


def _send_form(browser: httpx.Client, path: str, given: dict[str, str]) -> httpx.Response:
    """Load the page, then send its form as a browser does, with its hidden token."""
    page = browser.get(path).raise_for_status()
    hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    if hidden is None:
        raise DemoFailed(f"{path} holds no form")
    answer = browser.post(
        path, data={**given, "csrfmiddlewaretoken": hidden.group(1)}, headers={"Referer": str(page.url)}
    )
    if answer.is_error:
        raise DemoFailed(f"{path} answered {answer.status_code}: {_plain(answer.text)[:300]}")
    return answer


def _plain(page: str) -> str:
    body = page.partition("<main")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())
