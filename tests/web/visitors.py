"""People at their browsers, as the tests of accounts and organizations use them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core import mail
from django.test import Client

PASSWORD = "the Thon rings are round"


def mailed_code(address: str) -> str:
    """The code in the latest mail to an address."""
    latest = next(one for one in reversed(mail.outbox) if one.to == [address])
    found = re.search(r"^\s+([A-Z0-9]{4}-[A-Z0-9]{4})$", latest.body, re.MULTILINE)
    assert found, latest.body
    return found[1]


@dataclass
class Visitor:
    """Somebody with a browser of their own."""

    client: Client

    def sign_up(self, email="ada@lab.example", **given):
        form = {
            "name": "Ada Lovelace",
            "email": email,
            "organization": "Engine Lab",
            "password1": PASSWORD,
        } | given
        return self.client.post("/accounts/signup/", form)

    def confirm(self, email="ada@lab.example", code=None):
        return self.client.post("/accounts/confirm-email/", {"code": code or mailed_code(email)})

    def join(self, email="ada@lab.example", **given):
        self.sign_up(email, **given)
        return self.confirm(email.lower())

    def log_in(self, email="ada@lab.example", password=PASSWORD, **more):
        return self.client.post("/accounts/login/", {"login": email, "password": password} | more)

    def reauthenticate(self, password=PASSWORD, following="/settings/"):
        return self.client.post("/accounts/reauthenticate/", {"password": password, "next": following})

    @property
    def is_logged_in(self) -> bool:
        return self.client.get("/settings/").status_code == 200
