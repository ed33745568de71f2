"""A quarter of the books: what is handed in, and that it is held against the ledger."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.db import connection

from cryocloud.web.billing import guards, ledger
from cryocloud.web.billing.invoicing import credit_invoice
from cryocloud.web.billing.models import ClosedPeriod, LedgerEntry
from cryocloud.web.billing.periods import Box, Quarter, Sale, Supply, differences, figures_of, inert
from cryocloud.web.organizations.models import Organization
from web_books import issue, line, make_customer

pytestmark = pytest.mark.django_db
FIRST, SECOND = Quarter(2027, 1), Quarter(2027, 2)
GERMAN = {"country": "DE", "postal_code": "10115", "city": "Berlin"}
PAYERS = {
    "dutch": {},
    "german": {**GERMAN, "vat_id": "DE136695976", "vat_state": "valid"},
    "consumer": {**GERMAN, "kind": "consumer"},
    "finn": {"country": "FI", "kind": "consumer", "postal_code": "00100"},
    "american": {"country": "US"},
}


@pytest.fixture
def operator(owner):
    owner.user.is_operator = True
    owner.user.save()
    return owner


@pytest.fixture
def sales(sold, clock):
    """One invoice to each at the last moment of March by Dutch clocks; some are credited in April."""
    sold(one_stop_shop=True)
    clock.set(datetime(2027, 3, 31, 21, 59, 30, tzinfo=UTC))
    made = {}
    for count, (name, given) in enumerate(PAYERS.items()):
        organization = Organization.objects.create(name=name)
        make_customer(organization, **given)
        made[name] = issue(organization, line(10_000 + count), key=name)
    clock.set(datetime(2027, 3, 31, 22, 0, 0, tzinfo=UTC))
    for name in ("german", "finn"):
        credit_invoice(made[name], key=f"{name}:back", reason="Cancelled")
    issue(Organization.objects.get(name="dutch"), line(50), key="later")
    clock.set(datetime(2027, 7, 1, 8, tzinfo=UTC))
    return made


def test_the_figures_of_a_quarter(sales) -> None:
    figures = figures_of(FIRST)
    assert figures.boxes[0] == Box("1a", "Supplies at the high rate", 10_000, 2_100)
    assert figures.boxes[1].net_cents == 10_001
    assert figures.supplies == [Supply("DE136695976", "", 10_001)]
    assert figures.sales == [Sale("DE", 1900, "", 10_002, 1_900), Sale("FI", 2550, "", 10_003, 2_551)]
    assert figures.agree


def test_corrections_name_the_quarter_that_they_correct(sales) -> None:
    figures = figures_of(SECOND)
    assert figures.supplies == [Supply("DE136695976", "2027 Q1", -10_001)]
    assert figures.sales == [Sale("FI", 2550, "2027 Q1", -10_003, -2_551)]
    assert figures.boxes[0].vat_cents == 11
    assert figures.agree


def test_a_difference_of_a_cent_is_red_and_stops_the_closing(operator, sales) -> None:
    guards.remove(connection)
    entry = LedgerEntry.objects.get(key=f"invoice:{sales['dutch'].pk}")
    entry.postings.filter(account="vat:NL:21").update(cents=-2_099)
    guards.install(connection)
    figures = figures_of(FIRST)
    assert [check.text for check in figures.checks if not check.agrees] == ["vat:NL:21"]
    assert figures.faults == [f"The entry {entry.key} does not come to zero."]
    page = operator.client.get("/operator/books/2027/q1/")
    assert "do not agree" in page.content.decode()
    assert operator.client.post("/operator/books/2027/q1/").status_code == 409
    assert not ClosedPeriod.objects.exists()


@pytest.mark.parametrize("statement", ["DELETE FROM billing_invoice WHERE key = 'later'", "lost entry"])
def test_what_is_missing_on_one_side_is_found(sales, statement: str) -> None:
    assert differences() == []
    guards.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA defer_foreign_keys = ON" if connection.vendor == "sqlite" else "SELECT 1")
        if statement == "lost entry":
            entry = LedgerEntry.objects.get(key=f"invoice:{sales['american'].pk}")
            entry.postings.all().delete()
            entry.delete()
        else:
            entry = LedgerEntry.objects.get(invoice__key="later")
            entry.postings.all().delete()
            entry.delete()
            cursor.execute(statement)
    guards.install(connection)
    assert len(differences()) == 1


def test_a_quarter_is_closed_once_and_after_its_end(operator, sales, clock) -> None:
    assert operator.client.post("/operator/books/2027/q3/").status_code == 409
    for _ in range(2):
        assert operator.client.post("/operator/books/2027/q1/", follow=True).status_code == 200
    closed = ClosedPeriod.objects.get()
    assert closed.figures["boxes"][0]["vat_cents"] == 2_100
    assert "closed" in operator.client.get("/operator/books/2027/q1/").content.decode()


def test_the_journal_has_every_posting_and_no_formula(operator, sales) -> None:
    ledger.book("=1+1", {"cash:manual": 5, "fees": -5}, text="@SUM(A1:A9)")
    answer = operator.client.get("/operator/books/2027/q3/journal/")
    rows = list(csv.DictReader(StringIO(answer.content.decode())))
    assert [(row["entry"], row["text"], row["debit_eur"], row["credit_eur"]) for row in rows] == [
        ("'=1+1", "'@SUM(A1:A9)", "0.05", ""),
        ("'=1+1", "'@SUM(A1:A9)", "", "0.05"),
    ]
    first = list(
        csv.DictReader(StringIO(operator.client.get("/operator/books/2027/q1/journal/").content.decode()))
    )
    assert sum(float(row["debit_eur"] or 0) for row in first) == pytest.approx(
        sum(float(row["credit_eur"] or 0) for row in first)
    )
    assert {row["account"] for row in first} >= {"receivable", "vat:DE:19", "revenue:reverse_charge:DE:0"}
    assert inert("-5") == "'-5"


def test_the_operators_pages(operator, sales) -> None:
    text = operator.client.get("/operator/books/").content.decode()
    assert sales["finn"].number in text and "2027 Q3" in text
    found = operator.client.get("/operator/books/", {"q": "american"}).content.decode()
    assert sales["american"].number in found and sales["finn"].number not in found
    accounts = operator.client.get("/operator/books/accounts/").content.decode()
    assert "revenue:outside" in accounts and sales["consumer"].number in accounts
    assert sales["german"].number not in accounts.split('id="accounts"')[0]  # credited
    assert operator.client.get("/operator/books/vat-ids/").status_code == 200
    assert operator.client.get("/operator/books/2019/q1/").status_code == 404


def test_the_books_are_not_there_for_others(owner) -> None:
    for path in ("", "accounts/", "vat-ids/", "2027/q1/", "2027/q1/journal/", "invoices/EX-2027-000001/"):
        assert owner.client.get(f"/operator/books/{path}").status_code == 404
