"""Payments that do not come: nothing stops at once, nothing is closed by the clock, and what was paid counts again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.ledger import balance
from cryocloud.web.core.errors import Conflict, NotFound, Refused, TooManyRequests
from cryocloud.web.payments.models import Refund
from cryocloud.web.payments.providers.base import Outcome
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.orders import ORDERS_A_DAY
from web_contracts import DAY, SECOND

LAB = 49_000


def test_a_transfer_is_overdue_at_its_due_moment(contract):
    held = contract.subscribe()
    due = held.anchor + 14 * DAY
    contract.at(due - SECOND)
    assert contract.state == "active"
    contract.at(due)
    assert contract.state == "past_due"
    assert contract.states()[-1] == ("past_due", due)
    # Works on within the plan, and no month is given ahead any more.
    assert contract.allowance.compute_s == 360_000
    contract.clock.set(held.running_month.until_at)
    assert contract.allowance.compute_s == 0


def test_paid_before_the_month_ends_everything_goes_on_from_the_same_anchor(contract):
    held = contract.subscribe()
    contract.at(held.anchor + 20 * DAY)
    contract.pay()
    assert contract.state == "active"
    contract.at(held.running_month.until_at)
    assert contract.lines() == [[("plan", LAB)], [("plan", LAB)]]
    assert contract.held.anchor == held.anchor


def test_paid_after_the_month_ended_a_new_month_begins_with_the_payment(contract):
    held = contract.subscribe()
    contract.at(held.running_month.until_at + 3 * DAY)
    assert contract.allowance.compute_s == 0
    assert contract.lines() == [[("plan", LAB)]]
    payment = contract.pay()
    assert contract.state == "active"
    assert contract.held.anchor == payment.paid_at
    assert contract.lines() == [[("plan", LAB)], [("plan", LAB)]]
    assert contract.allowance.from_at == payment.paid_at


def test_of_a_year_that_was_paid_nothing_is_paid_twice(contract):
    held = contract.subscribe("lab", "yearly")
    contract.pay()
    services.set_spending_limit(**contract.by, cents=10_000)
    contract.use(400_000, held.anchor + DAY)
    first, lapsed = held.moment_of(1), held.moment_of(2)
    contract.at(first)
    contract.at(lapsed + DAY)  # the overage was due after 14 days
    assert contract.state == "past_due"
    contract.pay()
    after = contract.lines()[-1]
    whole, left = held.period.until_at - held.period.from_at, held.period.until_at - lapsed
    assert after == [("plan", 490_000), ("credit", -round(490_000 * (left / whole)))]


def test_what_a_cheaper_plan_leaves_of_a_paid_year_goes_back_to_the_card(contract, with_card):
    contract.subscribe("facility", "yearly", provider="stripe")
    year = contract.first_by_card()
    contract.change("lab", "monthly")
    services.set_spending_limit(**contract.by, cents=100_000)
    held = contract.held
    contract.use(2_000_000, held.anchor + DAY)
    contract.at(held.moment_of(1))
    contract.charge(Outcome.FAILED, "insufficient funds")
    contract.at(held.moment_of(2) + DAY)
    contract.charge(Outcome.PAID)
    owed = contract.invoices()[-1]
    assert owed.gross_cents < 0
    refund = Refund.objects.get()
    assert (refund.amount_cents, refund.charge.payment) == (-owed.gross_cents, year)
    assert [open_cents(one) for one in contract.invoices()] == [0, 0, 0]
    assert (balance("receivable"), balance("moved")) == (0, 0)


def test_an_order_by_card_begins_with_the_first_payment(contract, with_card):
    contract.subscribe(provider="stripe")
    assert contract.state == "trial"
    contract.clock.forward(hours=1)
    payment = contract.first_by_card()
    assert contract.state == "active"
    assert contract.held.anchor == payment.paid_at
    assert len(contract.invoices()) == 1


def test_a_card_that_fails_is_overdue_from_the_failure_on(contract, with_card):
    contract.subscribe(provider="stripe")
    contract.first_by_card()
    held = contract.held
    contract.at(held.running_month.until_at)
    assert contract.state == "active"
    contract.clock.forward(minutes=5)
    payment = contract.charge(Outcome.FAILED, "insufficient funds")
    assert contract.state == "past_due"
    assert contract.states()[-1][1] >= payment.first_failed_at
    contract.clock.forward(days=1)
    contract.charge(Outcome.PAID)
    assert contract.state == "active"
    assert contract.held.anchor == held.anchor


def test_an_order_that_nobody_pays_is_dropped_and_owes_nothing(contract, with_card):
    held = contract.subscribe(provider="stripe")
    contract.at(held.created_at + 7 * DAY - SECOND)
    assert contract.held.state == "ordered"
    contract.at(held.created_at + 7 * DAY)
    assert contract.held.state == "dropped"
    assert [one.kind for one in contract.invoices()] == ["invoice", "credit_note"]
    contract.subscribe()
    assert contract.held.state == "running"


def test_choosing_again_takes_the_place_of_an_order_that_waits(contract, with_card):
    contract.subscribe(provider="stripe")
    contract.subscribe("facility")
    assert contract.held.plan.code == "facility"
    assert [one.gross_cents > 0 for one in contract.invoices()] == [True, False, True]


def test_nobody_fills_the_books_with_orders(contract, with_card):
    for _ in range(ORDERS_A_DAY):
        contract.subscribe(provider="stripe")
    with pytest.raises(TooManyRequests):
        contract.subscribe(provider="stripe")
    assert len(contract.invoices()) == 2 * ORDERS_A_DAY - 1
    contract.clock.forward(days=1)
    contract.subscribe()


@pytest.mark.requirement("SUB-06")
def test_nobody_is_ended_by_the_clock_and_by_staff_after_sixty_days_only(contract, operator):
    held = contract.subscribe()
    since = held.anchor + 14 * DAY
    contract.at(since + 60 * DAY - SECOND)
    with pytest.raises(Conflict, match="60 days"):
        services.end_overdue(actor=operator.actor, subscription=held, reason="never paid")
    contract.at(since + 60 * DAY)
    assert contract.state == "past_due"
    with pytest.raises(Refused):
        services.end_overdue(actor=operator.actor, subscription=held, reason=" ")
    with pytest.raises(NotFound):
        services.end_overdue(actor=contract.owner.actor, subscription=held, reason="never paid")
    services.end_overdue(actor=operator.actor, subscription=held, reason="never paid")
    assert contract.state == "retrieval"
    contract.at(since + timedelta(days=365))
    assert contract.state == "closed"


def test_a_plan_cannot_be_changed_while_a_payment_is_overdue(contract):
    held = contract.subscribe()
    contract.at(held.anchor + 15 * DAY)
    with pytest.raises(Conflict, match="Pay it first"):
        contract.change("facility")
