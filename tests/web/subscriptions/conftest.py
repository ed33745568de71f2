"""A platform that sells the example's plans, an organization that has said who pays, and a clock to set."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cryocloud.web.accounts.models import User
from cryocloud.web.configuration import configuration
from web_books import EXAMPLE, make_customer
from web_contracts import Contract

BEGIN = datetime(2027, 1, 31, 11, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def sold(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = configuration().model_copy(update={"billing": EXAMPLE})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)


@pytest.fixture
def contract(sold, clock, make_member) -> Contract:
    """An organization in its trial on the last day of January, whose owner has said who pays."""
    clock.set(BEGIN)
    owner = make_member()
    make_customer(owner.organization)
    return Contract(owner, clock)


@pytest.fixture
def with_card(sold, monkeypatch) -> None:
    """A platform that also takes cards."""
    given = configuration().model_copy(update={"stripe_key": "sk_test_1"})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)


@pytest.fixture
def operator(make_member):
    person = make_member(name="olga")
    User.objects.filter(pk=person.user.pk).update(is_operator=True)
    person.user.refresh_from_db()
    return person
