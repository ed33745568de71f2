"""Customers and invoices as tests of the platform make them; something must be sold (``CRYOCLOUD_BILLING``)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryocloud.web.billing.invoicing import DraftLine, issue_invoice
from cryocloud.web.billing.models import Customer, Invoice
from cryocloud.web.core.clock import now
from cryocloud.web.organizations.models import Organization

EXAMPLE = Path(__file__).parents[1] / "deploy" / "billing.example.toml"
"""What is sold in tests: two plans, as whoever begins to sell would copy them."""
BEGIN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def line(net_cents: int = 49_000, kind: Any = "plan", **given: Any) -> DraftLine:
    said = {"text": "Lab, one month", "quantity": "1", "unit": "month"} | given
    return DraftLine(
        net_cents=net_cents, kind=kind, from_at=BEGIN, until_at=BEGIN + timedelta(days=31), **said
    )


def make_customer(organization: Organization, **given: Any) -> Customer:
    said = {
        "kind": Customer.Kind.BUSINESS,
        "name": "Universiteit Voorbeeld",
        "street": "Domplein 29",
        "postal_code": "3512 JE",
        "city": "Utrecht",
        "country": "NL",
        "email": "invoices@lab.example",
    }
    return Customer.unscoped.create(organization=organization, **said | given)


def issue(organization: Organization, *lines: DraftLine, key: str = "month:1", **given: Any) -> Invoice:
    due_at = now() + timedelta(days=14)
    return issue_invoice(organization, lines or (line(),), key=key, due_at=due_at, **given)
