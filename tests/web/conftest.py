"""Shared by the tests of the platform: people, organizations and clients that are logged in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.backends.sqlite3.operations import DatabaseOperations as SQLite
from django.test import Client

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.billing import guards
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.organizations.models import Membership, Organization, Role
from cryocloud.web.seams.test_clock import set_clock

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


@pytest.fixture(scope="session", autouse=True)
def books_are_emptied_after_tests() -> Iterator[None]:
    """The database refuses to remove what is in the books; only between tests it does not."""
    empty = BaseDatabaseOperations.execute_sql_flush

    def empty_unguarded(self: BaseDatabaseOperations, statements: list[str]) -> None:
        guards.remove(self.connection)
        empty(self, statements)
        guards.install(self.connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", empty_unguarded)
        yield


class Clock:
    """The time of the platform, set forward by a test."""

    def set(self, moment: datetime) -> None:
        set_clock(moment)

    def forward(self, **distance: float) -> None:
        set_clock(now() + timedelta(**distance))


@pytest.fixture
def clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """``clock.forward(days=30)``; it goes on ticking."""
    fresh = configuration().model_copy(update={"test_seams": True})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    return Clock()
