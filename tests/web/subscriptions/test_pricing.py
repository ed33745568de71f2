"""Lines of an invoice against the rules in exact fractions: whole cents, each rounded once, half away from zero."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from cryocloud.web.subscriptions.calendar import Span
from cryocloud.web.subscriptions.pricing import (
    Kept,
    compute_cents,
    compute_over_s,
    overage_lines,
    storage_cents,
    unused_cents,
)
from cryocloud.web.terms import Plan

BEGIN = datetime(2027, 1, 31, 11, 30, tzinfo=UTC)
CENTS = st.integers(0, 10**9)


def nearest(exact: Fraction) -> int:
    """Half away from zero, of what is not negative."""
    return int(exact + Fraction(1, 2))


@given(CENTS, st.integers(1, 366 * 86_400 * 10**6), st.integers(0, 400 * 86_400 * 10**6))
def test_of_a_price_the_part_for_the_time_that_is_left(price, whole_us, passed_us):
    period = Span(BEGIN, BEGIN + timedelta(microseconds=whole_us))
    left = max(Fraction(0), 1 - Fraction(passed_us, whole_us))
    assert unused_cents(price, period, BEGIN + timedelta(microseconds=passed_us)) == nearest(price * left)


@given(st.integers(0, 10**6), st.integers(0, 10**9), CENTS)
def test_compute_beyond_the_plan_never_costs_more_than_the_limit(rate, over_s, limit):
    cents = compute_cents(rate, over_s, limit)
    assert cents == min(limit, nearest(Fraction(over_s * rate, 3600)))


@given(st.integers(0, 10**6), st.integers(0, 10**15), st.integers(0, 10**18), st.integers(1, 745))
def test_storage_is_charged_on_the_average_of_the_hours(rate, included, byte_hours, hours):
    average = Fraction(byte_hours, hours)
    over = max(Fraction(0), average - included)
    expected = nearest(over * rate * hours / (10**12 * 720))
    assert storage_cents(rate, included, Kept(byte_hours, hours)) == expected


def test_what_is_included_to_the_second_costs_nothing():
    assert compute_over_s(360_000, 360_000) == 0
    assert compute_over_s(360_000, 360_001) == 1
    # 5.142857 s are a cent at 7 EUR an hour: 2.57 s are half a cent, 2 s less, 3 s more.
    assert [compute_cents(700, seconds, 100) for seconds in (2, 3)] == [0, 1]
    assert compute_cents(1800, 1, 100) == 1  # half a cent, away from zero


def test_a_plan_without_rates_has_no_lines_beyond_its_price():
    plan = Plan(
        code="fixed", name="Fixed", monthly_cents=1, yearly_cents=None, compute_hours=1, storage_bytes=1, files=None,
        slots=None, compute_cents_an_hour=None, storage_cents_a_terabyte_month=None, is_offered=True,
    )  # fmt: skip
    month = Span(BEGIN, BEGIN + timedelta(days=28))
    assert overage_lines(plan, month, billed_s=10**6, kept=Kept(10**15, 672), limit_cents=10**6) == []
