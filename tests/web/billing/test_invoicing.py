"""Issuing: numbers without gaps, once a key, corrected by credit notes only."""

from __future__ import annotations

from datetime import UTC, date, datetime
from threading import Barrier, Thread

import pytest
from django.db import connection, transaction

from cryocloud.web.billing import ledger
from cryocloud.web.billing.customers import NoCustomer
from cryocloud.web.billing.invoicing import credit_invoice, issue_invoice, open_cents
from cryocloud.web.billing.models import Invoice
from cryocloud.web.organizations.models import Organization
from web_books import issue, line, make_customer

ISSUERS, EACH = 64, 4


@pytest.mark.requirement("BIL-03")
@pytest.mark.django_db(transaction=True)
def test_numbers_have_no_gap_whoever_issues_at_the_same_time(owner) -> None:
    """Every fourth transaction is rolled back after its invoice was made; its number goes to another."""
    make_customer(owner.organization)
    start, failures = Barrier(ISSUERS), []

    def issue_some(issuer: int) -> None:
        try:
            start.wait()
            for turn in range(EACH):
                if turn == issuer % EACH:
                    with transaction.atomic():
                        issue(owner.organization, key=f"{issuer}:lost")
                        transaction.set_rollback(True)
                issue(owner.organization, key=f"{issuer}:{turn}")
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    issuers = [Thread(target=issue_some, args=(number,)) for number in range(ISSUERS)]
    for one in issuers:
        one.start()
    for one in issuers:
        one.join()
    assert failures == []
    numbers = Invoice.unscoped.order_by("number").values_list("number", flat=True)
    year = Invoice.unscoped.first().issued_on.year
    assert list(numbers) == [f"EX-{year}-{count:06d}" for count in range(1, ISSUERS * EACH + 1)]
    assert ledger.balance("receivable") == 59_290 * ISSUERS * EACH


@pytest.mark.django_db
def test_the_same_key_gives_the_same_invoice(owner) -> None:
    make_customer(owner.organization)
    first = issue(owner.organization, key="order:1")
    assert issue(owner.organization, key="order:1") == first
    with pytest.raises(ValueError, match="EX-2026-000001 is over 49000 cents, not over 1"):
        issue(owner.organization, line(1), key="order:1")
    assert Invoice.unscoped.count() == 1


@pytest.mark.django_db
def test_a_new_year_by_dutch_clocks_begins_a_new_series(owner, clock) -> None:
    make_customer(owner.organization)
    clock.set(datetime(2026, 12, 31, 22, 59, 50, tzinfo=UTC))
    assert issue(owner.organization, key="a").number == "EX-2026-000001"
    clock.set(datetime(2026, 12, 31, 23, tzinfo=UTC))
    later = issue(owner.organization, key="b")
    assert (later.number, later.issued_on) == ("EX-2027-000001", date(2027, 1, 1))
    assert later.keep_until == date(2034, 12, 31)


@pytest.mark.requirement("BIL-02")
@pytest.mark.django_db
def test_vat_is_rounded_once_an_invoice_and_not_a_line(owner) -> None:
    make_customer(owner.organization)
    invoice = issue(owner.organization, line(2), line(3), line(2))
    # 2 -> 0.42, 3 -> 0.63, 2 -> 0.42: each line alone would give 0 + 1 + 0.
    assert (invoice.net_cents, invoice.vat_cents, invoice.gross_cents) == (7, 1, 8)
    assert issue(owner.organization, line(50), key="half").vat_cents == 11  # 10.5
    assert issue(owner.organization, line(-50), key="minus").vat_cents == -11


@pytest.mark.django_db
def test_a_credit_note_takes_back_the_whole_invoice_once(owner) -> None:
    make_customer(owner.organization)
    invoice = issue(owner.organization)
    assert open_cents(invoice) == 59_290
    note = credit_invoice(invoice, key="back", reason="Cancelled within 30 days")
    assert (note.kind, note.corrects, note.gross_cents) == ("credit_note", invoice, -59_290)
    assert note.number.endswith("000002")
    assert open_cents(invoice) == open_cents(note) == 0
    assert [ledger.balance(account) for account in ("receivable", "revenue", "vat")] == [0, 0, 0]
    assert credit_invoice(invoice, key="again", reason="") == note


@pytest.mark.django_db
def test_a_paid_and_credited_invoice_is_to_be_paid_back(owner) -> None:
    make_customer(owner.organization)
    invoice = issue(owner.organization)
    ledger.book("p", {"cash:manual": 59_290, "receivable": -59_290}, text="Payment", invoice=invoice)
    assert open_cents(invoice) == 0
    credit_invoice(invoice, key="back", reason="")
    assert open_cents(invoice) == -59_290


@pytest.mark.django_db
def test_nothing_is_invoiced_to_nobody_or_over_nothing(owner) -> None:
    with pytest.raises(NoCustomer):
        issue(owner.organization)
    make_customer(owner.organization)
    with pytest.raises(ValueError, match="nothing"):
        issue(owner.organization, line(5), line(-5))
    assert not Invoice.unscoped.exists()


@pytest.mark.django_db
def test_an_invoice_keeps_the_customer_as_they_were(owner) -> None:
    customer = make_customer(owner.organization)
    invoice = issue(owner.organization)
    customer.city = "Delft"
    customer.save()
    again = issue_invoice(owner.organization, [line()], key="b", due_at=invoice.due_at)
    assert (invoice.customer["city"], again.customer["city"]) == ("Utrecht", "Delft")


@pytest.mark.django_db
@pytest.mark.parametrize(("one_stop_shop", "rate_bp", "years"), [(False, 2100, 7), (True, 1900, 10)])
def test_a_consumer_in_germany(owner, sold, one_stop_shop: bool, rate_bp: int, years: int) -> None:
    sold(one_stop_shop=one_stop_shop)
    make_customer(owner.organization, kind="consumer", country="DE", postal_code="10115", city="Berlin")
    invoice = issue(owner.organization)
    assert invoice.vat[0]["rate_bp"] == rate_bp
    assert invoice.keep_until.year == invoice.issued_on.year + years
    assert Organization.objects.count() == 1
