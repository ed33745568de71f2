"""A platform that sells something, so that the addresses about plans and payments exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryocloud.web.configuration import configuration
from web_books import EXAMPLE


@pytest.fixture(autouse=True)
def sold(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = configuration().model_copy(update={"billing": EXAMPLE})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
