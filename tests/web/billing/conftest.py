"""A platform that sells something, and an organization that has said who pays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cryocloud.web.configuration import configuration

EXAMPLE = Path(__file__).parents[3] / "deploy" / "billing.example.toml"


@pytest.fixture(autouse=True)
def sold(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The example's terms; ``sold(one_stop_shop=True)`` changes what is said in them."""

    def sell(one_stop_shop: bool = False) -> None:
        path = home / f"billing-{one_stop_shop}.toml"
        told = f"one_stop_shop = {str(one_stop_shop).lower()}\n{EXAMPLE.read_text(encoding='utf-8')}"
        path.write_text(told, encoding="utf-8")
        given = configuration().model_copy(update={"billing": path})
        monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)

    sell()
    return sell
