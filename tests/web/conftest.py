"""Shared by the tests of the platform: people, organizations and clients that are logged in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.db.backends.sqlite3.base import DatabaseOperations as SQLite
from django.test import Client

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.organizations.models import Membership, Organization, Role
from cryocloud.web.seams import test_clock

PASSWORD = "the Thon rings are round"


@dataclass(frozen=True)
class Member:
    """A person of an organization, with a browser that is logged in and a token for programs."""

    user: User
    organization: Organization
    client: Client
    secret: str

    @property
    def actor(self) -> Actor:
        return Actor(self.user)

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call the API with the token; the answer is Django's."""
        headers = {"Authorization": f"Bearer {self.secret}"} | headers
        content = "" if body is None else json.dumps(body)
        return Client().generic(
            method, f"/api/v1{path}", content, content_type="application/json", headers=headers
        )


@pytest.fixture
def make_member(db: None) -> Callable[..., Member]:
    """``make_member(organization=None, role=Role.OWNER, scope="admin", name="ada")``, with an authenticator app."""

    def make(
        organization: Organization | None = None,
        role: Role = Role.OWNER,
        scope: str = ApiToken.Scope.ADMIN,
        name: str = "ada",
    ) -> Member:
        organization = organization or Organization.objects.create(name=f"Lab of {name}")
        user = User.objects.create_user(f"{name}@lab.example", PASSWORD, name=name)
        Membership.unscoped.create(organization=organization, user=user, role=role)
        Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})
        secret = new_secret("cryo_")
        ApiToken.objects.create(
            user=user,
            organization_id=organization.id,
            name="test",
            secret_hash=hash_of(secret),
            scope=scope,
            expires_at=now() + timedelta(days=1),
        )
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return Member(user, organization, client, secret)

    return make


@pytest.fixture
def owner(make_member: Callable[..., Member]) -> Member:
    return make_member()


@pytest.fixture
def stranger(make_member: Callable[..., Member]) -> Member:
    """A person of another organization."""
    return make_member(name="eve")


@pytest.fixture(scope="session", autouse=True)
def tables_can_be_emptied() -> None:
    """Between tests with transactions of their own, also where rows are only ever added; the guards come back."""
    empty = SQLite.execute_sql_flush

    def without_guards(operations: SQLite, sql_list: list[str]) -> None:
        with operations.connection.cursor() as cursor:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP TRIGGER "{name}"')
        empty(operations, sql_list)

    SQLite.execute_sql_flush = without_guards


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for each test; the database stays that of the test run."""
    fresh = configuration().model_copy(update={"home": tmp_path})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    return tmp_path


class Clock:
    """The time of the platform, set forward by a test: in this process it stands then, so that no test is too slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ticking, self.moment = test_clock.present, None
        monkeypatch.setattr(test_clock, "present", self.present)

    def present(self) -> datetime:
        """A microsecond later each time, as what comes later is told apart."""
        if self.moment is None:
            return self.ticking()
        self.moment += timedelta(microseconds=1)
        return self.moment

    def set(self, moment: datetime) -> None:
        test_clock.set_clock(moment)
        self.moment = moment

    def forward(self, **distance: float) -> None:
        self.set(now() + timedelta(**distance))


@pytest.fixture
def clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """``clock.forward(days=30)``; in other processes it goes on ticking."""
    fresh = configuration().model_copy(update={"test_seams": True})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    return Clock(monkeypatch)
