from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.core import mail
from django.test import Client

from cryocloud.web.core.tasks import run_next
from cryocloud.web.organizations.models import Membership, Organization, Role
from web.visitors import Visitor


@pytest.fixture
def visitor(db) -> Visitor:
    return Visitor(Client())


@pytest.fixture
def invite() -> Callable[..., str]:
    """``invite(member, email, role)`` through the page; the path of the link in the mail that the worker sends."""

    def send(member, email="grace@lab.example", role=Role.EDITOR) -> str:
        answer = member.client.post("/organization/", {"email": email, "role": int(role)})
        assert answer.status_code == 302, answer.content.decode()
        while run_next("worker"):
            pass
        assert mail.outbox[-1].to == [email.strip().lower()]
        return re.search(r"(/invitations/[\w-]{43}/)", mail.outbox[-1].body)[1]

    return send


@pytest.fixture
def role_of() -> Callable[..., Role | None]:
    def look(organization: Organization, email: str) -> Role | None:
        found = Membership.unscoped.filter(organization=organization, user__email=email).first()
        return found and Role(found.role)

    return look
