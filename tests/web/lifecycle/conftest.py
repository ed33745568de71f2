"""Owners with addresses of their own, and the mails that a worker sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress

from cryocloud.web.core.tasks import run_next
from cryocloud.web.operations.worker import LANES


@pytest.fixture
def make_person(make_member: Callable[..., Any]) -> Callable[..., Any]:
    """A member whose address is verified."""

    def make(*arguments: Any, **named: Any) -> Any:
        member = make_member(*arguments, **named)
        EmailAddress.objects.create(user=member.user, email=member.user.email, verified=True, primary=True)
        return member

    return make


@pytest.fixture
def ada(make_person: Callable[..., Any]) -> Any:
    """An owner."""
    return make_person()


def send_mails() -> None:
    """Whatever is due, as the worker's thread for mails does it."""
    while run_next("worker", LANES["mailing"]):
        pass
