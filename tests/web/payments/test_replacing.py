"""A VAT id that is confirmed after the invoice: its payment follows the new one, the VAT that was paid goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bank_statements import Movement, statement
from cryocloud.web.billing.invoicing import credit_invoice, open_cents
from cryocloud.web.billing.ledger import balance
from cryocloud.web.billing.models import Customer, Invoice, VatCheck
from cryocloud.web.billing.vat_checks import note_answer
from cryocloud.web.billing.vies import Consultation
from cryocloud.web.core.clock import now
from cryocloud.web.payments.models import Payment, Refund
from cryocloud.web.payments.providers.base import Outcome, Told
from cryocloud.web.payments.reconciliation import reconcile
from cryocloud.web.payments.refunds import refund_payments, settle_refund
from cryocloud.web.payments.services import request_payment
from cryocloud.web.payments.statements import take_statement
from payment_desk import card_of, work
from web_books import issue, line, make_customer

pytestmark = pytest.mark.django_db
VAT_ID = "DE136695976"
NET, VAT = 49_000, 10_290


@pytest.fixture
def operator(make_member):
    member = make_member(name="olga")
    member.user.is_operator = True
    member.user.save()
    return member


@pytest.fixture
def invoice(owner) -> Invoice:
    """With Dutch VAT, of a month that is running, since nobody has confirmed the id yet."""
    make_customer(
        owner.organization,
        country="DE",
        postal_code="10115",
        city="Berlin",
        vat_id=VAT_ID,
        vat_state="unchecked",
    )
    running = replace(line(), from_at=now(), until_at=now() + timedelta(days=31))
    made = issue(owner.organization, running)
    assert made.vat_cents == VAT
    return made


def confirm() -> Invoice:
    customer = Customer.unscoped.get()
    note_answer(customer.pk, VAT_ID, Consultation(VatCheck.Answer.VALID, consultation="WAPI1"))
    return Invoice.unscoped.get(treatment="reverse_charge", kind="invoice")


def pay(operator, payment: Payment, amount: str) -> None:
    content = statement(Movement(amount, payment.reference))
    take_statement(actor=operator.actor, name="bank.xml", content=content)


def test_a_transfer_that_is_awaited_pays_the_new_invoice_under_the_same_reference(
    operator, invoice, heard
) -> None:
    payment = request_payment(invoice, None)
    new = confirm()
    payment.refresh_from_db()
    assert (payment.invoice_id, payment.amount_cents, payment.state) == (new.pk, NET, Payment.State.PENDING)
    pay(operator, payment, "490.00")
    payment.refresh_from_db()
    assert payment.state == Payment.State.PAID
    assert (open_cents(invoice), open_cents(new), balance("unallocated")) == (0, 0, 0)
    assert heard.paid == [payment.pk]
    assert reconcile().differences == 0


def test_vat_that_was_paid_by_transfer_goes_back(operator, invoice) -> None:
    payment = request_payment(invoice, None)
    pay(operator, payment, "592.90")
    new = confirm()
    payment.refresh_from_db()
    refund = Refund.objects.get()
    assert (refund.amount_cents, refund.line_id is not None) == (VAT, True)
    assert (payment.invoice_id, payment.state) == (new.pk, Payment.State.PAID)
    assert (open_cents(invoice), open_cents(new)) == (0, 0)
    assert (balance("refunds_payable"), balance("receivable"), balance("vat")) == (-VAT, 0, 0)
    assert reconcile().differences == 0


def test_vat_that_was_charged_goes_back_to_the_card_and_a_full_refund_takes_the_rest(invoice) -> None:
    payment = request_payment(invoice, card_of(invoice.organization, "stripe"))
    work()
    new = confirm()
    work()
    payment.refresh_from_db()
    credit_invoice(new, key="all", reason="Deactivated")
    refund_payments([payment], "all")
    work()
    executed = Refund.objects.filter(state=Refund.State.EXECUTED)
    assert sorted(executed.values_list("amount_cents", flat=True)) == [VAT, NET]
    assert [balance(name) for name in ("receivable", "refunds_payable", "revenue", "vat")] == [0] * 4
    assert balance("cash") + balance("fees") == 0
    assert (open_cents(invoice), open_cents(new)) == (0, 0)
    assert reconcile().differences == 0


def test_a_refund_that_failed_is_still_owed_and_not_ordered_twice(invoice) -> None:
    payment = request_payment(invoice, card_of(invoice.organization, "stripe"))
    work()
    confirm()
    vat = Refund.objects.get()
    settle_refund(vat.pk, Told("re_1", vat.pk, Outcome.FAILED, VAT, "EUR", failure="lost_or_stolen_card"))
    refund_payments([payment], "all")
    assert sum(Refund.objects.values_list("amount_cents", flat=True)) == NET + VAT
