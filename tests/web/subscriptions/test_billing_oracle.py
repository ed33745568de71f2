"""The oracle itself: sums done by hand, what must hold in any history, and the platform's calculators beside it."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from cryocloud.web.billing.money import rounded
from cryocloud.web.billing.vat import Place, vat_on
from cryocloud.web.subscriptions.calendar import Span, boundary
from cryocloud.web.subscriptions.pricing import (
    Kept,
    compute_cents,
    overage_lines,
    storage_cents,
    unused_cents,
)
from cryocloud.web.terms import Plan
from oracles.billing_calendar import DAY, HOUR, days_since_1970, month_after, whole
from oracles.billing_histories import PLANS, SHARP, random_history
from oracles.billing_oracle import Oracle, tell
from oracles.billing_records import Contract, Document

ORACLE = Path(__file__).parents[2] / "oracles"


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize("name", ["oracle", "histories", "calendar", "records", "use"])
def test_it_shares_no_code_with_the_platform(name):
    text = (ORACLE / f"billing_{name}.py").read_text(encoding="utf-8")
    imported = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert not any("cryocloud" in line or "django" in line for line in imported)


@pytest.mark.parametrize(
    ("anchor", "months", "wanted"),
    [
        ("2027-01-31T11:30:00", 1, "2027-02-28T11:30:00"),
        ("2027-01-31T11:30:00", 2, "2027-03-31T10:30:00"),  # summer time
        ("2027-01-31T11:30:00", 13, "2028-02-29T11:30:00"),
        ("2028-02-29T12:00:00", 12, "2029-02-28T12:00:00"),
        ("2028-02-29T12:00:00", 48, "2032-02-29T12:00:00"),
        ("2027-02-28T01:30:00", 1, "2027-03-28T01:30:00"),  # 2:30 is left out: an hour later, 3:30 of summer
        ("2027-09-30T00:30:00", 1, "2027-10-30T00:30:00"),
        ("2027-08-31T00:30:00", 2, "2027-10-31T00:30:00"),  # 2:30 comes twice: the first
        ("2026-12-31T22:59:59", 2, "2027-02-28T22:59:59"),
        ("2026-12-31T23:00:00", 1, "2027-01-31T23:00:00"),  # the first of January in Amsterdam
    ],
)
def test_months_that_were_counted_by_hand(anchor, months, wanted):
    assert month_after(at(anchor), months) == at(wanted)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [((1, 2), 1), ((-1, 2), -1), ((3, 2), 2), ((-5, 2), -3), ((49, 100), 0), ((-7, 3), -2), ((0, 1), 0)],
)
def test_a_half_goes_away_from_zero(value, wanted):
    assert whole(Fraction(*value)) == rounded(*value) == wanted


def test_a_month_that_was_calculated_by_hand():
    """Lab for 490.00 EUR from 31 January; 101 h of 100 h, at 3.50 EUR; 6 TB of 5 TB for all 672 hours, at 25 EUR."""
    start = at("2027-01-31T11:30:00")
    history = [
        (start, "subscribe", "lab", "monthly", False),
        (start, "transfer"),
        (start, "limit", 1_000),
        (start, "store", 6 * 10**12),
        (start + DAY, "use", Fraction(101 * HOUR)),
        (at("2027-02-28T11:29:59"), "look"),
    ]
    oracle, told = tell(PLANS, 21, start, history)
    assert len(told.documents) == 1
    oracle.play(at("2027-02-28T11:30:00"), "look")
    second = told.documents[1]
    assert second.lines == (("plan", 49_000), ("compute", 350), ("storage", 2_333))  # 2,500 x 672 / 720
    assert (second.net, second.vat, second.gross) == (51_683, 10_853, 62_536)
    assert told.states == [("active", start)]
    assert told.included[-1] == (at("2027-02-28T11:30:00"), at("2027-03-31T10:30:00"), 360_000)


def test_an_upgrade_that_was_calculated_by_hand():
    """After 10 of 30 days 2/3 of 490.00 EUR are left: 326.67 EUR."""
    start = at("2027-04-05T08:00:00")
    history = [
        (start, "subscribe", "lab", "monthly", False),
        (start + 10 * DAY, "change", "facility", "monthly"),
    ]
    _, told = tell(PLANS, 21, start, history)
    assert told.documents[1].lines == (("plan", 190_000), ("credit", -32_667))
    assert told.documents[1].due == start + 24 * DAY


def test_everything_comes_back_until_the_last_second_of_thirty_days():
    start = at("2027-03-01T00:00:00")
    paid = [(start, "subscribe", "lab", "monthly", True), (start + 5, "card", True)]
    for moment, refunded in ((start + 5 + 30 * DAY - 1, 59_290), (start + 5 + 30 * DAY, 0)):
        oracle, told = tell(PLANS, 21, start, [*paid, (moment, "deactivate")])
        assert told.refunded == refunded
        assert (oracle.state == "retrieval") == bool(refunded)


def test_a_trial_ends_reads_and_closes_to_the_second():
    start = at("2027-01-15T12:00:00")
    for moment, state in ((30, "trial_ended"), (60, "closed")):
        for second in (-1, 0):
            oracle, _ = tell(PLANS, 0, start, [(start + moment * DAY + second, "look")])
            assert (oracle.state == state) == (second == 0)


def test_what_holds_in_every_history():
    """Nothing is credited twice, nothing refunded that was not paid, no month begins again, and time goes forward."""
    for seed in range(1_000):
        vat, start, history = random_history(seed, with_storage=seed % 4 == 0)
        _, told = tell(PLANS, vat, start, history)
        moments = [moment for _, moment in told.states]
        begins = [span[0] for span in told.included if span[2]]
        assert moments == sorted(moments) and begins == sorted(begins)
        assert min(told.billed, default=0) >= 0
        _require_sound(told.documents, told.refunded)


def _require_sound(documents: list[Document], refunded: int) -> None:
    invoices = [one for one in documents if one.of is None]
    notes = [one for one in documents if one.of is not None]
    assert len({one.of for one in notes}) == len(notes)
    assert all(documents[one.of].gross == -one.gross for one in notes)
    assert refunded <= sum(one.gross for one in invoices if one.paid_at is not None)
    assert all(one.net for one in invoices)


def test_it_is_the_same_whether_somebody_looks_each_day_or_never():
    for seed in range(150):
        vat, start, history = random_history(seed)
        looked, moment = [], start
        for event in history:
            while moment + DAY < event[0]:
                moment += DAY
                looked.append((moment, "look"))
            looked.append(event)
        rare, often = tell(PLANS, vat, start, history)[1], tell(PLANS, vat, start, looked)[1]
        assert (rare.states, rare.documents, rare.billed) == (often.states, often.documents, often.billed)


def plan_of(code: str) -> Plan:
    one = PLANS[code]
    return Plan(
        code=one.code, name=one.code, monthly_cents=one.monthly, yearly_cents=one.yearly,
        compute_hours=one.compute_s // HOUR, storage_bytes=one.storage_bytes, compute_cents_an_hour=one.compute_rate,
        storage_cents_a_terabyte_month=one.storage_rate,
    )  # fmt: skip


@pytest.mark.parametrize("part", range(4))
def test_the_calculators_of_the_platform_agree_with_it_to_the_cent_and_second(part):
    """5,000 cases: months, unused prices, compute, storage and VAT."""
    draw = random.Random(part)
    for _ in range(1_250):
        anchor = draw.choice(SHARP) + draw.choice((-1, 0, 1, draw.randrange(DAY), -draw.randrange(40 * DAY)))
        months = draw.choice((1, 2, 3, 11, 12, 13, 24, draw.randrange(120)))
        begin, end = month_after(anchor, months), month_after(anchor, months + 1)
        moments = [boundary(_moment(anchor), number) for number in (months, months + 1)]
        assert [round(one.timestamp()) for one in moments] == [begin, end]
        plan, now = draw.choice(list(PLANS.values())), draw.randrange(begin, end + 1)
        ours = unused_cents(plan.monthly, Span(*moments), _moment(now))
        assert ours == whole(Fraction(plan.monthly * (end - now), end - begin))
        oracle = Oracle(PLANS, 21, begin)
        held = Contract(0, plan, "monthly", False, begin, limit_cents=draw.choice((0, 100, 10**7)))
        used, kept = draw.randrange(4 * plan.compute_s + 10), draw.randrange(4 * plan.storage_bytes + 10**13)
        oracle.use.attempts.append((begin, used))
        oracle.use.levels = [(0, kept)]
        stored = oracle.use.stored(begin, end)
        lines = overage_lines(
            plan_of(plan.code),
            Span(*moments),
            billed_s=used,
            kept=Kept(*stored),
            limit_cents=held.limit_cents,
        )
        assert [(line.kind, line.net_cents) for line in lines] == oracle.use.overage(held, begin, end)
        net = draw.randrange(-(10**7), 10**7)
        vat = vat_on(
            Place("NL"), date(2027, 1, 1), is_business=True, is_vat_id_confirmed=False, one_stop_shop=False
        )
        assert vat.of(net) == whole(Fraction(net * 21, 100))


def test_rates_of_the_smallest_and_the_largest_plan_are_rounded_once():
    assert compute_cents(1, 1_800, 10) == 1 and compute_cents(1, 1_799, 10) == 0
    half = 360 * 10**12  # byte-hours at 1 cent for 10^12 bytes kept 720 hours: half a cent
    assert storage_cents(1, 0, Kept(half, 1)) == 1 and storage_cents(1, 0, Kept(half - 1, 1)) == 0


def test_days_are_counted_as_the_calendar_counts_them():
    day = date(1970, 1, 1)
    for number in range(0, 50_000, 7):
        one = day + timedelta(days=number)
        assert days_since_1970(one.year, one.month, one.day) == number


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
