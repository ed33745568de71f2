"""Charging a stored method: once, whatever happens on the way, and again on the days that are told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.ledger import balance
from cryocloud.web.core.clock import now
from cryocloud.web.payments.models import Charge, Difference, Method, Payment, Refund
from cryocloud.web.payments.reconciliation import reconcile
from cryocloud.web.payments.services import begin_checkout, cancel_payment, refund_all, request_payment
from payment_desk import GROSS_CENTS, card_of, send_event, the_payment, tick, work

pytestmark = pytest.mark.django_db
PROVIDERS = ("stripe", "mollie")
FEES = {"stripe": 35, "mollie": 0}


def assert_paid_once(double, provider: str) -> None:
    payment = the_payment()
    assert payment.state == Payment.State.PAID
    assert open_cents(payment.invoice) == 0
    assert balance(f"cash:{provider}") == GROSS_CENTS - FEES[provider]
    assert balance("receivable") == 0
    assert double.kept_cents == GROSS_CENTS


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stored_card_is_charged_once(owner, new_invoice, double, heard, provider) -> None:
    invoice, card = new_invoice(), card_of(owner.organization, provider)
    for _ in range(3):
        request_payment(invoice, card)
        work()
        tick()
    assert_paid_once(double, provider)
    assert heard.paid == [the_payment().pk]
    assert the_payment().paid_at is not None
    assert heard.failed == []


@pytest.mark.parametrize("fault", ["down", "lost", "slow"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_order_whose_answer_is_missing_is_asked_about_before_it_is_repeated(
    owner, new_invoice, double, provider, fault
) -> None:
    """The provider has forgotten our key by then, so that a repeated order would be a second charge."""
    card = card_of(owner.organization, provider)
    request_payment(new_invoice("before"), card)
    work()  # the provider knows the organization from now on
    request_payment(new_invoice(), card)
    double.faults.append(fault)
    work()
    double.forget_keys()
    tick()
    assert balance("receivable") == 0
    assert double.kept_cents == 2 * GROSS_CENTS == balance(f"cash:{provider}") + 2 * FEES[provider]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_that_is_down_for_a_day_delays_and_loses_nothing(
    owner, new_invoice, double, heard, clock, provider
) -> None:
    double.is_down = True
    request_payment(new_invoice(), card_of(owner.organization, provider))
    for _ in range(24):
        work()
        clock.forward(hours=1)
        tick()
    assert the_payment().state == Payment.State.PENDING
    assert heard.paid == heard.failed == []
    double.is_down = False
    tick()
    assert_paid_once(double, provider)


@pytest.mark.requirement("SUB-06")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_failed_charge_is_tried_again_1_3_5_and_7_days_after_the_first(
    owner, new_invoice, double, heard, clock, provider
) -> None:
    double.declines.extend(["Your card was declined."] * 9)
    request_payment(new_invoice(), card_of(owner.organization, provider))
    work()
    first = the_payment().first_failed_at
    for count, day in enumerate((1, 3, 5, 7), start=1):
        payment = the_payment()
        assert payment.state == Payment.State.FAILED
        assert payment.next_try_at == first + timedelta(days=day)
        clock.set(first + timedelta(days=day, seconds=-2))
        tick()
        assert payment.charges.count() == count
        clock.set(first + timedelta(days=day))
        tick()
        assert payment.charges.count() == count + 1
    payment = the_payment()
    assert (payment.state, payment.next_try_at) == (Payment.State.FAILED, None)
    assert payment.failure == "Your card was declined."
    assert heard.failed == [payment.pk] * 5
    clock.forward(days=90)
    tick()
    assert payment.charges.count() == 5
    assert balance("receivable") == GROSS_CENTS
    assert balance("cash") == 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_later_try_that_succeeds_ends_the_matter(
    owner, new_invoice, double, heard, clock, provider
) -> None:
    double.declines.append("No money.")
    request_payment(new_invoice(), card_of(owner.organization, provider))
    work()
    clock.forward(days=1, seconds=1)
    tick()
    assert_paid_once(double, provider)
    assert (heard.failed, heard.paid) == ([the_payment().pk],) * 2


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_checkout_stores_the_method_that_later_invoices_are_charged_to(
    owner, new_invoice, double, heard, provider
) -> None:
    invoice = new_invoice()
    bought = begin_checkout(
        actor=owner.actor, organization=owner.organization, invoice=invoice, provider=provider
    )
    assert bought.address.startswith(f"{double.address}/pay/")
    again = begin_checkout(
        actor=owner.actor, organization=owner.organization, invoice=invoice, provider=provider
    )
    assert again.address == bought.address
    charge = Charge.unscoped.get()
    double.pay(charge.pk)
    assert send_event(double, charge, "evt_1").status_code == 204
    work()
    assert_paid_once(double, provider)
    method = Method.unscoped.get()
    assert (method.provider, method.kind, method.words) == (provider, "card", "Visa ending in 4242")
    request_payment(new_invoice("month:2"), method)
    work()
    assert balance("receivable") == 0
    assert double.kept_cents == 2 * GROSS_CENTS


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_page_that_is_left_is_no_failure_and_is_closed_after_a_day(
    owner, new_invoice, double, heard, clock, provider
) -> None:
    asked = {"actor": owner.actor, "organization": owner.organization, "invoice": new_invoice()}
    begin_checkout(**asked, provider=provider)
    clock.forward(days=1, seconds=1)
    tick()
    assert Charge.unscoped.get().state == Charge.State.CANCELLED
    assert the_payment().state == Payment.State.OPEN
    assert heard.failed == []
    assert begin_checkout(**asked, provider=provider).address
    assert Charge.unscoped.count() == 2


def test_another_provider_closes_the_page_of_the_first(owner, new_invoice, double) -> None:
    asked = {"actor": owner.actor, "organization": owner.organization, "invoice": new_invoice()}
    begin_checkout(**asked, provider="stripe")
    begin_checkout(**asked, provider="mollie")
    states = dict(Charge.unscoped.values_list("provider", "state"))
    assert states == {"stripe": "cancelled", "mollie": "pending"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_was_paid_twice_goes_back_at_once(owner, new_invoice, double, heard, provider) -> None:
    """The page was closed here, the provider let somebody pay on it all the same."""
    asked = {"actor": owner.actor, "organization": owner.organization, "invoice": new_invoice()}
    begin_checkout(**asked, provider=provider)
    first = Charge.unscoped.get()
    Charge.unscoped.update(state="cancelled")
    begin_checkout(**asked, provider=provider)
    second = Charge.unscoped.exclude(pk=first.pk).get()
    for charge in (second, first):
        double.pay(charge.pk)
        send_event(double, charge, f"evt_{charge.number}")
        work()
    assert len(heard.paid) == 1
    assert Refund.objects.get().state == Refund.State.EXECUTED
    assert double.kept_cents == GROSS_CENTS
    assert balance("unallocated") == balance("refunds_payable") == balance("receivable") == 0
    assert balance(f"cash:{provider}") == GROSS_CENTS - 2 * FEES[provider]

    double.take_back(first.pk, GROSS_CENTS)
    send_event(double, first, "evt_dispute", "charge.dispute.created")
    work()
    payment = the_payment()
    assert (payment.state, payment.received_cents) == (Payment.State.PAID, GROSS_CENTS)
    assert heard.failed == []
    assert (balance("receivable"), balance("disputed")) == (0, GROSS_CENTS)
    assert balance(f"cash:{provider}") == -2 * FEES[provider]
    reconcile()
    assert "refunded_too_much" in Difference.objects.values_list("kind", flat=True)


@pytest.mark.parametrize("fault", ["", "down", "lost"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_refund_goes_back_once(owner, new_invoice, double, provider, fault) -> None:
    request_payment(new_invoice(), card_of(owner.organization, provider))
    work()
    if fault:
        double.faults.append(fault)
    for _ in range(3):
        refund_all(owner.organization, key="refund:1")
        work()
        double.forget_keys()
        Refund.objects.update(ask_at=now())
        tick()
    refund = Refund.objects.get()
    assert (refund.state, refund.amount_cents) == (Refund.State.EXECUTED, GROSS_CENTS)
    assert double.kept_cents == 0
    assert balance(f"cash:{provider}") == -FEES[provider]
    assert balance("refunds_payable") == 0
    assert balance("receivable") == GROSS_CENTS  # until the credit note is written


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_refund_that_takes_days_is_executed_when_it_is(owner, new_invoice, double, provider) -> None:
    double.refunds_take_days = True
    request_payment(new_invoice(), card_of(owner.organization, provider))
    work()
    refund_all(owner.organization, key="refund:1")
    work()
    assert Refund.objects.get().state == Refund.State.PENDING
    assert balance("refunds_payable") == -GROSS_CENTS
    next(iter(double.refunds.values())).status = "done"
    Refund.objects.update(ask_at=now())
    tick()
    assert Refund.objects.get().state == Refund.State.EXECUTED
    assert balance("refunds_payable") == 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_money_that_comes_after_the_cancellation_goes_back(
    owner, new_invoice, double, heard, provider
) -> None:
    invoice = new_invoice()
    begin_checkout(actor=owner.actor, organization=owner.organization, invoice=invoice, provider=provider)
    cancel_payment(invoice)
    double.pay(Charge.unscoped.get().pk)
    tick()
    assert heard.paid == []
    assert double.kept_cents == 0
    assert balance("unallocated") == 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_money_that_the_bank_takes_back_is_owed_again(owner, new_invoice, double, heard, provider) -> None:
    request_payment(new_invoice(), card_of(owner.organization, provider))
    work()
    charge = Charge.unscoped.get()
    double.take_back(charge.pk, GROSS_CENTS)
    for number in (1, 2):
        send_event(double, charge, f"evt_{number}", "charge.dispute.created")
        work()
    payment = the_payment()
    assert (payment.state, payment.next_try_at) == (Payment.State.FAILED, None)
    assert heard.failed == [payment.pk]
    assert balance("receivable") == GROSS_CENTS == open_cents(payment.invoice)
    assert balance(f"cash:{provider}") == -FEES[provider]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_direct_debit_is_pending_for_days(owner, new_invoice, double, heard, provider) -> None:
    double.takes_days = True
    request_payment(new_invoice(), card_of(owner.organization, provider))
    work()
    assert the_payment().state == Payment.State.PENDING
    assert heard.paid == []
    double.finish(Charge.unscoped.get().pk, "paid")
    tick()
    assert_paid_once(double, provider)


def test_a_charge_of_another_amount_is_not_believed(owner, new_invoice, double, heard) -> None:
    double.takes_days = True
    request_payment(new_invoice(), card_of(owner.organization, "stripe"))
    work()
    taken = double.finish(Charge.unscoped.get().pk, "paid")
    taken.cents += 1
    tick()
    assert the_payment().state == Payment.State.PENDING
    assert heard.paid == []
    assert balance("cash") == 0
