"""The ledger: only added to, always at zero, nothing booked twice. The database itself refuses the rest."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from cryocloud.web.billing import ledger
from cryocloud.web.billing.models import Invoice, InvoiceSeries, LedgerEntry, Posting
from cryocloud.web.core.clock import now
from web_books import issue, make_customer

pytestmark = pytest.mark.django_db


@pytest.fixture
def invoice(owner) -> Invoice:
    make_customer(owner.organization)
    return issue(owner.organization)


def test_an_invoice_is_booked_as_owed_earned_and_due_to_the_state(invoice: Invoice) -> None:
    assert ledger.balance("receivable") == 59_290
    assert ledger.balance("revenue") == -49_000
    assert ledger.balance("vat") == ledger.balance("vat:NL:21") == -10_290


@pytest.mark.requirement("BIL-08")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_ledgerentry SET text = 'other'",
        "DELETE FROM billing_ledgerentry",
        "UPDATE billing_posting SET cents = cents * 2",
        "DELETE FROM billing_posting",
        "UPDATE billing_invoice SET net_cents = 1, vat_cents = 0, gross_cents = 1",
        "UPDATE billing_invoice SET number = 'EX-2026-000009'",
        "UPDATE billing_invoice SET customer = '{}'",
        "UPDATE billing_invoice SET issued_on = '2020-01-01'",
        "DELETE FROM billing_invoice",
        "DELETE FROM billing_invoiceseries",
        "UPDATE billing_invoiceseries SET last = last + 2",
        "UPDATE billing_invoiceseries SET last = last - 1",
    ],
)
def test_what_is_in_the_books_stays_as_it_is(invoice: Invoice, statement: str) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_documents_are_written_once(invoice: Invoice) -> None:
    written = Invoice.unscoped.filter(pk=invoice.pk)
    written.update(pdf=b"one", pdf_sha256="a" * 64, documents_at=now())
    written.update(sent_at=now())
    for again in ({"pdf": b"two"}, {"pdf_sha256": "b" * 64}, {"sent_at": now()}, {"documents_at": None}):
        with pytest.raises(DatabaseError), transaction.atomic():
            written.update(**again)


def test_a_posting_cannot_be_added_to_an_entry_that_stands(invoice: Invoice) -> None:
    entry = LedgerEntry.objects.get()
    with pytest.raises(DatabaseError), transaction.atomic():
        Posting.objects.create(entry=entry, account="cash:manual", cents=1)


@pytest.mark.requirement("BIL-08")
@pytest.mark.parametrize("amounts", [{"a": 5, "b": -4}, {"a": 5}, {}])
def test_an_entry_that_does_not_come_to_zero_is_refused_by_the_database(
    db: None, amounts: dict[str, int]
) -> None:
    entry = LedgerEntry(key="crooked", text="", at=now(), booked_on=now().date())
    for account, cents in amounts.items():
        Posting.objects.create(entry_id=entry.pk, account=account, cents=cents)
    with pytest.raises(DatabaseError), transaction.atomic():
        entry.save(force_insert=True)
    transaction.set_rollback(True)  # the postings alone would fail at the end


@pytest.mark.django_db(transaction=True)
def test_postings_without_an_entry_do_not_survive_the_commit() -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Posting.objects.bulk_create(
            Posting(entry_id="nobody", account=account, cents=cents)
            for account, cents in (("a", 1), ("b", -1))
        )
    assert not Posting.objects.exists()


def test_the_same_is_booked_once(db: None) -> None:
    amounts = {"cash:manual": 100, "receivable": -100}
    first = ledger.book("payment:1", amounts, text="Payment")
    assert ledger.book("payment:1", amounts, text="Payment") == first
    assert ledger.balance("cash:manual") == 100
    with pytest.raises(ValueError, match="other amounts"):
        ledger.book("payment:1", {"cash:manual": 200, "receivable": -200}, text="Payment")


def test_a_balance_counts_the_accounts_below_and_no_others(db: None) -> None:
    ledger.book("1", {"vat:NL:21": -21, "vatican": 1, "receivable": 20}, text="")
    assert ledger.balance("vat") == -21


def test_emptying_the_database_between_tests_leaves_the_guards_up(db: None) -> None:
    assert not InvoiceSeries.objects.exists()
    assert not LedgerEntry.objects.exists()
