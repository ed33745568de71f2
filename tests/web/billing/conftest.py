"""A platform that sells something, and an organization that has said who pays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from cryocloud.web.configuration import configuration
from web_books import EXAMPLE

from .vies_double import Register, registering


@dataclass
class Sold:
    """What is sold and how; ``sold(one_stop_shop=True)`` changes it."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    terms: dict[str, str] = field(default_factory=dict)

    def __call__(self, **terms: bool | str) -> None:
        self.terms |= {name: json.dumps(value) for name, value in terms.items()}
        told = "".join(f"{name} = {value}\n" for name, value in self.terms.items())
        path = self.home / f"billing-{len(list(self.home.glob('billing-*')))}.toml"
        path.write_text(told + EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
        given = configuration().model_copy(
            update={"billing": path, "webhook_networks": (IPv4Network("127.0.0.0/8"),)}
        )
        self.monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)


@pytest.fixture(autouse=True)
def sold(home: Path, monkeypatch: pytest.MonkeyPatch) -> Sold:
    """The example's terms; the register of VAT ids is at an address where nobody answers."""
    made = Sold(home, monkeypatch)
    made(vat_register="http://127.0.0.1:9/nobody")
    return made


@pytest.fixture
def register(sold: Sold) -> Iterator[Register]:
    """A register of VAT ids that knows ``DE136695976``."""
    with registering() as register:
        register.in_force.add("DE136695976")
        sold(vat_register=register.url)
        yield register
