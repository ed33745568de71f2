"""Whoever has the exported log of a month can work out its invoice, to the byte of each amount."""

from __future__ import annotations

import csv
import io
import random
from datetime import timedelta
from fractions import Fraction
from xml.etree import ElementTree

import pytest

from cryocloud.web.billing.documents import make
from cryocloud.web.billing.models import Invoice
from cryocloud.web.subscriptions import services
from web_contracts import DAY

UBL = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
INCLUDED_S, CENTS_AN_HOUR, PRICE_CENTS, VAT = 360_000, 350, 49_000, Fraction(21, 100)


@pytest.mark.requirement("LOG-03")
def test_the_amounts_of_an_invoice_follow_from_the_exported_attempts(contract):
    draws = random.Random(5)
    held = contract.subscribe()
    contract.pay()
    services.set_spending_limit(**contract.by, cents=10**6)
    month = held.running_month
    inside = [month.from_at, month.until_at - timedelta(microseconds=1)]
    inside += [month.from_at + draws.random() * (month.until_at - month.from_at) for _ in range(60)]
    for moment in [*inside, month.from_at - timedelta(microseconds=1), month.until_at]:
        contract.use(draws.randrange(0, 15_000), moment)
    contract.at(month.until_at + DAY)

    table = contract.owner.client.get(
        "/organization/usage/attempts.csv", {"span": f"{month.from_at:%Y%m%dT%H%M%S}"}
    ).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == len(inside)
    over_s = sum(int(row["billed_s"]) for row in rows) - INCLUDED_S
    assert over_s > 0
    overage = _cents(Fraction(over_s * CENTS_AN_HOUR, 3600))
    net = PRICE_CENTS + overage
    vat = _cents(net * VAT)

    make(Invoice.unscoped.latest("sequence").pk)
    invoice = ElementTree.fromstring(bytes(Invoice.unscoped.latest("sequence").ubl))
    said = {
        name: [one.text for one in invoice.iter(f"{UBL}{name}")] for name in ("TaxAmount", "PayableAmount")
    }
    assert sorted(one.text for one in invoice.iter(f"{UBL}LineExtensionAmount")) == sorted(
        _text(cents) for cents in (overage, PRICE_CENTS, net)
    )
    assert set(said["TaxAmount"]) == {_text(vat)}
    assert said["PayableAmount"] == [_text(net + vat)]


def _cents(exact: Fraction) -> int:
    """Half away from zero."""
    return int(exact + Fraction(1, 2))


def _text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
