"""What the clock brings about: invoices, allowances, planned changes and ends, at their exact moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cryocloud.web.core.errors import Conflict, Forbidden, NotFound, Refused
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.tasks import advance_what_is_due
from web.subscriptions.conftest import BEGIN
from web_contracts import DAY, SECOND

LAB, FACILITY = 49_000, 190_000
TB = 10**12


def test_a_plan_begins_with_the_order_and_the_invoice_is_due_later(contract):
    held = contract.subscribe()
    assert contract.state == "active"
    assert contract.lines() == [[("plan", LAB)]]
    (invoice,) = contract.invoices()
    assert invoice.due_at == held.anchor + 14 * DAY
    given = contract.allowance
    assert (given.compute_s, given.storage_bytes, given.from_at) == (360_000, 5 * TB, held.anchor)
    assert given.until_at == held.anchor.replace(month=2, day=28)
    with pytest.raises(Conflict, match="runs already"):
        contract.subscribe()


def test_each_month_is_invoiced_at_its_boundary_counted_from_the_anchor(contract):
    held = contract.subscribe()
    contract.pay()
    boundary = held.anchor.replace(month=2, day=28)
    contract.at(boundary - SECOND)
    assert len(contract.invoices()) == 1
    contract.at(boundary)
    assert contract.lines() == [[("plan", LAB)], [("plan", LAB)]]
    contract.pay()
    assert contract.allowance.from_at == boundary
    # The 31st again, an hour earlier in UTC: the wall clock of Amsterdam is at summer time.
    assert contract.allowance.until_at == held.anchor.replace(month=3, day=31) - timedelta(hours=1)


def test_between_two_months_there_is_no_moment_without_a_plan(contract):
    """The next month is given ahead, so that running jobs go on although the worker's clock comes round later."""
    held = contract.subscribe()
    contract.pay()
    contract.clock.set(held.running_month.until_at)
    assert contract.allowance.from_at == held.running_month.until_at
    assert contract.allowance.compute_s == 360_000


@pytest.mark.parametrize("late", [False, True], ids=["each day", "after a year"])
def test_a_year_gives_the_same_whenever_the_clock_comes_round(contract, late):
    held = contract.subscribe("lab", "yearly")
    contract.pay()
    services.set_spending_limit(**contract.by, cents=100_000)
    end = held.period.until_at
    contract.use(400_000, held.anchor + 70 * DAY)
    if late:
        contract.clock.set(end + DAY)
        contract.at(end + DAY + SECOND)
    else:
        for day in range(1, 367):
            contract.at(held.anchor + day * DAY)
    lines = contract.lines()
    assert lines[0] == [("plan", 490_000)]
    # 40,000 s beyond 100 hours at 3.50 EUR an hour
    assert lines[1] == [("compute", 3_889)]
    # It was due after 14 days and never paid: no further month began.
    assert contract.states()[1] == ("past_due", held.moment_of(3) + 14 * DAY)
    assert contract.held.lapsed_at == held.moment_of(4)
    assert len(lines) == 2


def test_use_beyond_the_plan_is_invoiced_with_the_next_price(contract):
    held = contract.subscribe()
    contract.pay()
    services.set_spending_limit(**contract.by, cents=50_000)
    contract.use(360_000 + 3_601, held.running_month.until_at - SECOND)
    contract.use(7_200, held.running_month.until_at)  # of the next month already
    contract.store(6 * TB, held.anchor, 672)
    contract.at(held.running_month.until_at)
    storage = round(1 * 2_500 * 672 / 720)
    assert contract.lines()[1] == [("plan", LAB), ("compute", 350), ("storage", storage)]


def test_the_bill_never_passes_the_limit_that_the_owner_set(contract):
    held = contract.subscribe()
    contract.pay()
    services.set_spending_limit(**contract.by, cents=100)
    contract.use(500_000, held.anchor + DAY)
    contract.at(held.running_month.until_at)
    assert contract.lines()[1] == [("plan", LAB), ("compute", 100)]


def test_an_upgrade_begins_at_once_and_credits_what_is_unused(contract):
    held = contract.subscribe()
    contract.pay()
    services.set_spending_limit(**contract.by, cents=50_000)
    contract.use(360_000 + 36_000, held.anchor + 7 * DAY)
    moment = held.anchor + 14 * DAY
    contract.at(moment)
    changed = contract.change("facility")
    left = (held.period.until_at - changed.anchor) / (held.period.until_at - held.period.from_at)
    assert contract.lines()[1] == [("plan", FACILITY), ("credit", -round(LAB * left)), ("compute", 3_500)]
    assert contract.allowance.compute_s == 500 * 3600
    assert contract.allowance.from_at == changed.anchor
    assert contract.allowance.spending_limit_cents == 50_000
    contract.pay()
    contract.at(changed.running_month.until_at)
    assert contract.lines()[2] == [("plan", FACILITY)]


def test_a_downgrade_waits_for_the_price_boundary_and_can_be_taken_back(contract):
    held = contract.subscribe("facility")
    contract.pay()
    boundary = held.period.until_at
    contract.change("lab")
    assert contract.allowance.compute_s == 500 * 3600
    services.take_back(**contract.by)
    with pytest.raises(Conflict, match="Nothing is planned"):
        services.take_back(**contract.by)
    contract.change("lab")
    contract.at(boundary - SECOND)
    assert contract.allowance.compute_s == 500 * 3600
    contract.clock.set(boundary)
    assert contract.allowance.compute_s == 100 * 3600  # to the second, before the worker comes round
    advance_what_is_due()
    assert contract.held.plan.code == "lab"
    assert contract.lines()[1] == [("plan", LAB)]


def test_a_yearly_price_begins_when_the_month_ends(contract):
    held = contract.subscribe()
    contract.pay()
    contract.change("lab", "yearly")
    contract.at(held.period.until_at)
    assert contract.lines()[1] == [("plan", 490_000)]
    # Counted from the anchor, the 31st: the leap year's February ends a day later.
    assert contract.held.period.until_at == datetime(2028, 2, 29, 11, 30, tzinfo=UTC) + (held.anchor - BEGIN)


def test_an_upgrade_that_costs_less_than_the_unused_rest_is_refused_with_what_to_do(contract):
    contract.subscribe("lab", "yearly")
    contract.pay()
    with pytest.raises(Conflict, match="Choose its yearly price"):
        contract.change("facility", "monthly")
    assert len(contract.invoices()) == 1
    contract.change("facility", "yearly")
    assert contract.lines()[1][0] == ("plan", 1_900_000)


def test_what_is_not_sold_is_refused_beside_the_field(contract):
    for plan, interval, provider, field in [
        ("gold", "monthly", "manual", "plan"),
        ("lab", "weekly", "manual", "interval"),
        ("lab", "monthly", "stripe", "provider"),
    ]:
        with pytest.raises(Refused) as caught:
            contract.subscribe(plan, interval, provider)
        assert field in caught.value.fields
    assert not Subscription.unscoped.exists()


def test_only_owners_decide_and_strangers_hear_nothing(contract, make_member):
    admin = make_member(contract.organization, Role.ADMIN, name="alan")
    stranger = make_member(name="eve")
    ordered = {
        "organization": contract.organization,
        "plan_code": "lab",
        "interval": "monthly",
        "provider": "manual",
    }
    with pytest.raises(Forbidden):
        services.subscribe(actor=admin.actor, **ordered)
    with pytest.raises(NotFound):
        services.subscribe(actor=stranger.actor, **ordered)


def test_where_nothing_is_sold_nothing_can_be_chosen(contract, monkeypatch):
    monkeypatch.setattr("cryocloud.web.subscriptions.orders.billing", lambda: None)
    with pytest.raises(NotFound):
        contract.subscribe()


def test_hours_that_an_operator_has_given_are_not_charged(contract):
    held = contract.subscribe()
    contract.pay()
    services.set_spending_limit(**contract.by, cents=10_000)
    Organization.objects.update(compute_hours_max=200)
    contract.use(199 * 3600)
    contract.at(held.running_month.until_at)
    assert contract.lines() == [[("plan", LAB)], [("plan", LAB)]]
