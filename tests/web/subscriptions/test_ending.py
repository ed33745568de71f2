"""Deactivation: everything back within 30 days of the first payment, the end of what is paid after that."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cryocloud.web.billing.ledger import balance
from cryocloud.web.billing.models import Customer
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.notices.models import Occasion
from cryocloud.web.organizations.states import standing
from cryocloud.web.payments.models import Payment, Refund
from cryocloud.web.payments.providers.base import Outcome, Told
from cryocloud.web.payments.settling import settle_charge
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.models import RefundReview, Subscription
from web_contracts import DAY, SECOND

LAB = 49_000


@pytest.mark.requirement("SUB-01")
@pytest.mark.parametrize("late", [-1, 1])
def test_everything_comes_back_until_thirty_days_after_the_first_payment(contract, with_card, late):
    contract.subscribe(provider="stripe")
    first = contract.first_by_card()
    contract.at(contract.held.running_month.until_at - 3 * DAY)
    contract.change("facility")
    contract.charge(Outcome.PAID)
    contract.clock.set(first.paid_at + 30 * DAY + late * SECOND)
    ended = services.deactivate(**contract.by)
    paid = sum(Payment.unscoped.values_list("received_cents", flat=True))
    if late < 0:
        assert (ended.state, contract.state) == ("ended", "retrieval")
        assert sum(Refund.objects.values_list("amount_cents", flat=True)) == paid > 0
        assert [one.kind for one in contract.invoices()] == [
            "invoice",
            "invoice",
            "credit_note",
            "credit_note",
        ]
        assert balance("revenue") == balance("vat") == balance("receivable") == 0
        assert contract.allowance.compute_s == 0
    else:
        assert (ended.state, contract.state) == ("running", "active")
        assert not Refund.objects.exists()


def test_before_any_payment_nothing_is_owed(contract):
    contract.subscribe()
    services.deactivate(**contract.by)
    assert contract.state == "retrieval"
    assert [payment.state for payment in Payment.unscoped.all()] == ["cancelled"]
    assert balance("receivable") == 0
    letter = Occasion.unscoped.filter(title__contains="deactivated").get()
    assert "Nothing had been paid" in letter.message
    assert f"{contract.held.ended_at:%H:%M:%S}" in letter.message


@pytest.mark.requirement("SUB-02")
def test_a_second_refund_is_for_a_person_to_decide(contract, operator):
    contract.subscribe()
    services.deactivate(**contract.by)
    contract.clock.forward(days=2)
    contract.subscribe()
    held = services.deactivate(**contract.by, words="We chose the wrong plan.")
    assert (held.state, contract.state) == ("running", "active")
    review = RefundReview.unscoped.get()
    assert not review.is_withdrawal
    services.decide_review(actor=operator.actor, review=review, grant=True, reason="a mistake of ours")
    assert contract.state == "retrieval"
    assert balance("receivable") == 0
    with pytest.raises(Conflict, match="decided already"):
        services.decide_review(actor=operator.actor, review=review, grant=False, reason="again")


def test_a_consumer_who_withdraws_in_fourteen_days_is_never_declined(contract, operator):
    Customer.unscoped.update(kind="consumer")
    contract.subscribe()
    services.deactivate(**contract.by)
    contract.subscribe()
    services.deactivate(**contract.by)
    review = RefundReview.unscoped.get()
    assert review.is_withdrawal
    with pytest.raises(Conflict, match="the law leaves no choice"):
        services.decide_review(actor=operator.actor, review=review, grant=False, reason="no")


def test_later_it_ends_with_what_is_paid_and_can_be_taken_back(contract):
    held = contract.subscribe()
    contract.pay()
    contract.at(held.running_month.until_at)
    contract.pay()
    contract.clock.set(held.anchor + 45 * DAY)
    services.deactivate(**contract.by)
    services.take_back(**contract.by)
    ending = services.deactivate(**contract.by)
    with pytest.raises(Conflict, match="deactivated already"):
        services.deactivate(**contract.by)
    services.set_spending_limit(**contract.by, cents=1_000)
    contract.use(363_600)
    end = ending.period.until_at
    contract.at(end - SECOND)
    assert contract.state == "active"
    assert contract.allowance.compute_s == 360_000
    contract.clock.set(end)
    assert contract.allowance.compute_s == 0
    contract.at(end + DAY)
    assert contract.states()[-2:] == [("ended", end), ("retrieval", end)]
    assert standing(contract.organization).until == end + 30 * DAY
    assert contract.lines()[-1] == [("compute", 350)]
    assert contract.held.state == "ended"


@pytest.mark.requirement("SUB-07")
def test_whoever_comes_back_in_time_finds_everything_as_it_was(contract):
    contract.subscribe()
    services.deactivate(**contract.by)
    contract.clock.set(standing(contract.organization).until - SECOND * 5)
    contract.subscribe("facility")
    assert contract.state == "active"
    assert contract.allowance.compute_s == 500 * 3600
    assert Subscription.unscoped.count() == 2


def test_after_closing_no_plan_can_be_chosen(contract):
    contract.subscribe()
    services.deactivate(**contract.by)
    contract.clock.set(standing(contract.organization).until)
    with pytest.raises(Conflict, match="Closed"):
        contract.subscribe()


def test_an_owner_may_shorten_the_time_to_fetch_data_or_close_now(contract):
    with pytest.raises(Conflict, match="deactivate the plan first"):
        services.close_organization(**contract.by, name=contract.organization.name)
    contract.subscribe()
    services.deactivate(**contract.by)
    until = contract.organization.state_until
    for wrong in (until, contract.organization.state_since - SECOND):
        with pytest.raises(Refused):
            services.shorten_retrieval(**contract.by, until=wrong)
    services.shorten_retrieval(**contract.by, until=until - 20 * DAY)
    contract.clock.set(until - 20 * DAY - SECOND * 5)
    assert contract.state == "retrieval"
    with pytest.raises(Refused, match="name"):
        services.close_organization(**contract.by, name="another lab")
    services.close_organization(**contract.by, name=contract.organization.name)
    assert contract.state == "closed"


def test_an_overdue_plan_that_is_deactivated_ends_where_its_time_ends(contract):
    held = contract.subscribe()
    contract.pay()
    contract.at(held.running_month.until_at)
    contract.at(held.running_month.until_at + 40 * DAY)
    assert contract.state == "past_due"
    services.deactivate(**contract.by)
    assert contract.state == "retrieval"
    assert timedelta(0) <= contract.held.ended_at - contract.held.end_wished_at < timedelta(minutes=1)


def test_whoever_orders_before_the_clock_has_ended_the_last_plan_is_active(contract):
    held = contract.subscribe()
    contract.pay()
    contract.at(held.running_month.until_at)
    contract.pay()
    contract.clock.set(held.anchor + 45 * DAY)
    end = services.deactivate(**contract.by).period.until_at
    contract.clock.set(end + SECOND)
    contract.subscribe()
    assert contract.state == "active"
    assert contract.allowance.compute_s == 360_000


def test_no_month_after_another_is_had_on_invoices_that_nobody_pays(contract):
    contract.subscribe()
    services.deactivate(**contract.by)
    contract.subscribe()
    end = services.deactivate(**contract.by).period.until_at
    contract.at(end)
    assert contract.state == "retrieval"
    with pytest.raises(Conflict, match="overdue"):
        contract.subscribe()
    contract.pay()
    contract.subscribe()
    assert contract.state == "active"


def test_a_payment_taken_back_gives_no_second_time_for_a_refund(contract, with_card):
    contract.subscribe(provider="stripe")
    first = contract.first_by_card()
    contract.at(contract.held.running_month.until_at)
    contract.charge(Outcome.PAID)
    contract.clock.forward(days=10)
    charge = first.charges.get()
    told = Told(charge.reference, charge.pk, Outcome.PAID, charge.amount_cents, "EUR")
    settle_charge(charge.pk, replace(told, returned_cents=charge.amount_cents))
    services.deactivate(**contract.by)
    assert contract.held.state == "running"
    assert not Refund.objects.exists()
