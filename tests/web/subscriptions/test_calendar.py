"""Months of a subscription at the wall clock of Amsterdam, without gap or overlap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryocloud.web.subscriptions.calendar import boundary

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
SECOND = timedelta(seconds=1)
MOMENTS = st.datetimes(datetime(2023, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))


def wall(*parts: int, fold: int = 0) -> datetime:
    return datetime(*parts, tzinfo=AMSTERDAM, fold=fold).astimezone(UTC)  # type: ignore[misc]


def changes(year: int) -> tuple[datetime, datetime]:
    """The moments at which summer time begins and ends, found by looking at each hour."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(365 * 24)]
    offsets = [hour.astimezone(AMSTERDAM).utcoffset() for hour in hours]
    begin, end = (hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1])
    return begin, end


@pytest.mark.parametrize(
    ("anchor", "months", "expected"),
    [
        ((2027, 1, 31, 12), 1, (2027, 2, 28, 12)),
        ((2027, 1, 31, 12), 2, (2027, 3, 31, 12)),
        ((2027, 1, 31, 12), 3, (2027, 4, 30, 12)),
        ((2028, 1, 31, 12), 1, (2028, 2, 29, 12)),
        ((2028, 2, 29, 12), 12, (2029, 2, 28, 12)),
        ((2028, 2, 29, 12), 48, (2032, 2, 29, 12)),
        ((2026, 11, 15, 9), 2, (2027, 1, 15, 9)),
        ((2026, 12, 31, 23, 59, 59), 2, (2027, 2, 28, 23, 59, 59)),
    ],
)
def test_the_day_is_that_of_the_anchor_or_the_last_of_the_month(anchor, months, expected):
    assert boundary(wall(*anchor), months) == wall(*expected)


@pytest.mark.requirement("BIL-12")
@pytest.mark.parametrize("year", range(2023, 2031))
def test_a_wall_time_that_summer_time_leaves_out_is_moved_by_the_gap(year):
    begin, _ = changes(year)
    before = begin.astimezone(AMSTERDAM) - SECOND
    anchor = wall(year, 1, before.day, 2, 30)
    assert boundary(anchor, 2) == wall(year, 3, before.day, 3, 30) == begin + timedelta(minutes=30)


@pytest.mark.requirement("BIL-12")
@pytest.mark.parametrize("year", range(2023, 2031))
def test_of_a_wall_time_that_exists_twice_it_is_the_first(year):
    _, end = changes(year)
    day = end.astimezone(AMSTERDAM).day
    anchor = wall(year, 8, day, 2, 30)
    assert boundary(anchor, 2) == end - timedelta(minutes=30)
    twice = wall(year, 10, day, 2, 30, fold=1)
    assert boundary(twice, 0) == twice


@given(MOMENTS, st.integers(0, 100))
def test_boundaries_go_on_without_gap_and_the_wall_time_stays(anchor, months):
    first, second = boundary(anchor, months), boundary(anchor, months + 1)
    assert timedelta(days=28) - timedelta(hours=1) <= second - first <= timedelta(days=31, hours=1)
    local, begin = first.astimezone(AMSTERDAM), anchor.astimezone(AMSTERDAM)
    assert (local.year * 12 + local.month) - (begin.year * 12 + begin.month) == months
    assert local.day <= begin.day
    shift = local.replace(tzinfo=None, fold=0) - begin.replace(
        tzinfo=None, fold=0, year=local.year, month=local.month, day=local.day
    )
    assert shift in (timedelta(0), timedelta(hours=1))
    assert boundary(anchor, months).utcoffset() == timedelta(0)
