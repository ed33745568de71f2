"""Whatever does not agree is found: each difference is planted by hand, and exactly its alarm is raised."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection, transaction

from bank_statements import Movement, statement
from cryocloud.web.billing import guards
from cryocloud.web.billing.ledger import balance, book
from cryocloud.web.billing.models import InvoiceSeries, LedgerEntry, Posting
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.payments.models import (
    Charge,
    Difference,
    Payment,
    ProviderEvent,
    Receipt,
    Refund,
    StatementLine,
)
from cryocloud.web.payments.reconciliation import reconcile
from cryocloud.web.payments.services import refund_all, request_payment
from cryocloud.web.payments.statements import take_statement
from payment_desk import GROSS_CENTS, card_of, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(owner, make_member, new_invoice, double):
    """A card payment that was refunded, one that was not, one by transfer, and money that nobody knows."""
    operator = make_member(name="olga")
    operator.user.is_operator = True
    operator.user.save()
    card = card_of(owner.organization, "stripe")
    request_payment(new_invoice("refunded"), card)
    work()
    refund_all(owner.organization, key="end")
    work()
    request_payment(new_invoice("kept"), card)
    work()
    awaited = request_payment(new_invoice("transfer"), None)
    content = statement(
        Movement("592.90", reference=awaited.reference), Movement("7.00", bank_reference="B2", text="?")
    )
    take_statement(actor=operator.actor, name="bank.xml", content=content)
    return double


@contextmanager
def unguarded():
    guards.remove(connection)
    yield
    guards.install(connection)


def kept() -> Charge:
    return Charge.unscoped.filter(refunds=None).get()


def taken(double, charge=None):
    return double.of_order((charge or kept()).pk)[0]


def drop_entry(prefix: str) -> None:
    with unguarded():
        entry = LedgerEntry.objects.filter(key__startswith=prefix).order_by("-created_at").first()
        Posting.objects.filter(entry=entry).delete()
        LedgerEntry.objects.filter(pk=entry.pk).delete()


def change_postings(prefix: str, factor: int) -> None:
    with unguarded():
        for posting in Posting.objects.filter(entry__key__startswith=prefix):
            Posting.objects.filter(pk=posting.pk).update(cents=posting.cents * factor)


def one_sided(double) -> None:
    with unguarded():
        Posting.objects.filter(entry__key__startswith="invoice:").first().delete()


def number_gap(double) -> None:
    with unguarded():
        InvoiceSeries.objects.update(last=99)


def change_row(rows, **values):
    assert rows.update(**values) >= 1


def forget_charge(double) -> None:
    del double.taken[taken(double).reference]


def stuck_charge(double) -> None:
    taken(double).status = "pending"
    change_row(Charge.unscoped.filter(refunds=None), state="pending", created_at=now() - timedelta(days=13))


def pending_refund(double, **values) -> None:
    next(iter(double.refunds.values())).status = "pending"
    change_row(Refund.objects, state="pending", **values)


def foreign_charge(double) -> None:
    double.order("stripe", "nobody", "cus_x", 500, "eur", kind="charge", mandate="pm_x")


def foreign_refund(double) -> None:
    double.send_back("stripe", "nobody", taken(double), 500)


PLANTED = {
    "entry_unbalanced": one_sided,
    "invoice_not_booked": lambda double: drop_entry("invoice:"),
    "invoice_booked_wrong": lambda double: change_postings("invoice:", 2),
    "invoice_number_gap": number_gap,
    "charge_not_booked": lambda double: drop_entry(f"charge:{kept().pk}"),
    "charge_booked_wrong": lambda double: change_postings("charge:", 3),
    "charge_unknown": lambda double: change_row(Charge.unscoped.filter(refunds=None), state="failed"),
    "fee_not_booked": lambda double: drop_entry("fee:"),
    "fee_booked_wrong": lambda double: change_postings("fee:", 2),
    "return_booked": lambda double: change_row(Charge.unscoped.filter(refunds=None), returned_cents=5),
    "line_not_booked": lambda double: drop_entry("line:"),
    "line_booked_wrong": lambda double: change_postings("line:", 2),
    "receipt_not_booked": lambda double: drop_entry("receipt:"),
    "receipt_booked_wrong": lambda double: change_row(Receipt.unscoped, amount_cents=3),
    "refund_not_booked": lambda double: drop_entry("refund:"),
    "refund_booked_wrong": lambda double: change_row(Refund.objects, amount_cents=100),
    "refunded_not_booked": lambda double: drop_entry("refunded:"),
    "refunded_unknown": pending_refund,
    "unallocated": lambda double: change_row(StatementLine.objects.filter(left_cents__gt=0), left_cents=1),
    "refunds_payable": pending_refund,
    "cash_unknown": lambda double: book("theft:1", {"cash:stripe": -500, "fees": 500}, text="?"),
    "payment_received": lambda double: change_row(
        Payment.unscoped.filter(provider="manual"), received_cents=1
    ),
    "payment_state": lambda double: change_row(Payment.unscoped.filter(provider="manual"), state="pending"),
    "paid_twice": lambda double: book(
        "payment:by hand",
        {"receivable": -500, "fees": 500},
        text="?",
        invoice=Payment.unscoped.get(provider="manual").invoice,
    ),
    "refunded_too_much": lambda double: change_row(Refund.objects, amount_cents=GROSS_CENTS + 1),
    "charge_stuck": stuck_charge,
    "not_settled": lambda double: change_row(Charge.unscoped.filter(refunds=None), state="pending"),
    "refund_stuck": lambda double: pending_refund(double, created_at=now() - timedelta(days=13)),
    "event_stuck": lambda double: ProviderEvent.objects.create(
        provider="stripe", event_id="evt_1", kind="x", received_at=now() - timedelta(days=2)
    ),
    "refund_failed": lambda double: change_row(Refund.objects, state="failed"),
    "charge_amount": lambda double: setattr(taken(double), "cents", 5),
    "charge_currency": lambda double: setattr(taken(double), "currency", "USD"),
    "paid_there_only": lambda double: change_row(Charge.unscoped.filter(refunds=None), state="failed"),
    "paid_here_only": lambda double: setattr(taken(double), "status", "failed"),
    "charge_fee": lambda double: setattr(taken(double), "fee_cents", 9),
    "charge_returned": lambda double: change_row(Charge.unscoped.filter(refunds=None), returned_cents=5),
    "provider_unknown_charge": foreign_charge,
    "provider_missing_charge": forget_charge,
    "provider_unknown_refund": foreign_refund,
    "provider_missing_refund": lambda double: double.refunds.clear(),
    "refund_amount": lambda double: setattr(next(iter(double.refunds.values())), "cents", 5),
    "refund_state": lambda double: setattr(next(iter(double.refunds.values())), "status", "failed"),
    "provider_down": lambda double: setattr(double, "is_down", True),
}


def test_where_all_agree_no_alarm_is_raised(world) -> None:
    assert reconcile().differences == 0, list(Difference.objects.values_list("key", "words"))
    work()
    assert told_to_staff() == []


@pytest.mark.requirement("BIL-07")
def test_each_planted_difference_raises_its_alarm(world) -> None:
    """One world, each difference in a savepoint of its own; the provider's store is put back by hand."""
    missed = []
    for kind, plant in PLANTED.items():
        before = deepcopy(world.taken), deepcopy(world.refunds), world.is_down
        with transaction.atomic():
            plant(world)
            reconcile()
            if not Difference.objects.filter(kind=kind, gone_at=None).exists():
                missed.append((kind, list(Difference.objects.values_list("key", flat=True))))
            transaction.set_rollback(True)
        world.taken, world.refunds, world.is_down = before
    assert missed == []
    assert len(PLANTED) >= 20


def told_to_staff() -> list[mail.EmailMessage]:
    """Customers get their invoices meanwhile."""
    return [one for one in mail.outbox if one.to == ["olga@lab.example"]]


def test_staff_hear_of_what_is_new_once_and_it_goes_when_it_is_mended(world) -> None:
    taken(world).fee_cents = 9
    for _ in range(2):
        assert reconcile().differences == 1
        work()
    (written,) = told_to_staff()
    assert "0.09 EUR" in written.body
    assert "/operator/payments/" in written.body
    taken(world).fee_cents = 35
    assert reconcile().differences == 0
    assert Difference.objects.get().gone_at is not None


def test_what_a_provider_would_have_told_is_settled_without_an_alarm(world) -> None:
    taken(world).returned_cents = GROSS_CENTS
    assert reconcile().differences == 0
    assert kept().returned_cents == GROSS_CENTS


def test_fees_of_mollie_are_booked_once_they_are_taken(owner, new_invoice, double, monkeypatch):
    token = {"mollie_reports_token": "access_reports"}
    given = configuration().model_copy(update=token)
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
    double.fees_are_taken = False
    request_payment(new_invoice(), card_of(owner.organization, "mollie"))
    work()
    assert reconcile().differences == 0
    assert balance("fees") == 0
    double.fees_are_taken = True
    for _ in range(2):
        assert reconcile().differences == 0
        charge = Charge.unscoped.get()
        assert (charge.fee_cents, balance("fees")) == (35, 35)
        assert balance("cash:mollie") == GROSS_CENTS - 35
    assert double.tokens == {"Bearer access_reports"}
    (taken_there,) = double.of_order(charge.pk)
    taken_there.fee_cents = 109
    assert reconcile().new == 1
    assert Difference.objects.get(gone_at=None).kind == "charge_fee"


def test_without_a_token_fees_of_mollie_are_not_known(owner, new_invoice, double):
    request_payment(new_invoice(), card_of(owner.organization, "mollie"))
    work()
    assert reconcile().differences == 0
    assert Charge.unscoped.get().fee_cents is None
    assert not double.tokens
