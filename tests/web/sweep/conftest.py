"""A platform that sells something and takes cards, so that the addresses about plans and payments exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryocloud.web.configuration import configuration
from web_books import EXAMPLE


@pytest.fixture(autouse=True)
def sold(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = configuration().model_copy(update={"billing": EXAMPLE, "stripe_key": "sk_test_1"})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
