"""A platform that sells, whose providers stand on loopback; its worker moves only when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cryocloud.web.billing.models import Invoice
from cryocloud.web.configuration import configuration
from cryocloud.web.payments import outcomes
from payment_dialect_stripe import WEBHOOK_SECRET
from payment_double import PaymentDouble
from web_books import EXAMPLE, issue, make_customer


@pytest.fixture
def double() -> Iterator[PaymentDouble]:
    made = PaymentDouble()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _sold(home: Path, double: PaymentDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    given = configuration().model_copy(
        update={
            "billing": EXAMPLE,
            "test_seams": True,
            "stripe_key": "sk_test_of_the_double",
            "stripe_webhook_secret": WEBHOOK_SECRET,
            "stripe_url": double.address,
            "mollie_key": "test_of_the_double",
            "mollie_url": double.address,
        }
    )
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)


@dataclass
class Heard:
    """What apps above were told of payments."""

    paid: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    found = Heard()
    monkeypatch.setattr(outcomes, "_on_paid", [lambda payment: found.paid.append(payment.pk)])
    monkeypatch.setattr(outcomes, "_on_failed", [lambda payment: found.failed.append(payment.pk)])
    return found


@pytest.fixture
def new_invoice(owner: Any) -> Callable[..., Invoice]:
    """``new_invoice(key="order:1")`` over 592.90 EUR."""
    make_customer(owner.organization)

    def make(key: str = "order:1") -> Invoice:
        return issue(owner.organization, key=key)

    return make
