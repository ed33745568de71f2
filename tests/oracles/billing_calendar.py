"""Days, months and rounding for the oracle: counted out, with nothing but the table of time zones to lean on."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
DAY, HOUR = 86_400, 3_600


def whole(value: Fraction) -> int:
    """Rounded to an integer, a half away from zero."""
    size = abs(value)
    up = size.numerator // size.denominator + (size % 1 >= Fraction(1, 2))
    return up if value >= 0 else -up


def days_in(year: int, month: int) -> int:
    if month == 2:
        is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if is_leap else 28
    return 30 if month in (4, 6, 9, 11) else 31


def days_since_1970(year: int, month: int, day: int) -> int:
    """By counting: no calendar module."""
    leaps = (year - 1) // 4 - (year - 1) // 100 + (year - 1) // 400 - (1969 // 4 - 1969 // 100 + 1969 // 400)
    before = sum(days_in(year, one) for one in range(1, month))
    return (year - 1970) * 365 + leaps + before + day - 1


def offset_at(moment: int) -> int:
    """Seconds by which the clocks of Amsterdam are ahead of UTC."""
    offset = datetime.fromtimestamp(moment, AMSTERDAM).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def of_wall(seconds: int) -> int:
    """The moment at which the clocks of Amsterdam show a time, given as seconds as if they stood at UTC."""
    shown = sorted(seconds - offset for offset in (HOUR, 2 * HOUR) if offset_at(seconds - offset) == offset)
    if shown:
        return shown[0]  # of a time that is shown twice, the first
    return seconds - HOUR  # left out in spring: as much later as the clocks were moved


def month_after(anchor: int, months: int) -> int:
    """The same wall time so many calendar months later, in a month that lacks the day on its last one."""
    if months == 0:
        return anchor
    wall = anchor + offset_at(anchor)
    date = datetime.fromtimestamp(wall, ZoneInfo("UTC"))
    index = date.year * 12 + date.month - 1 + months
    year, month = index // 12, index % 12 + 1
    day = min(date.day, days_in(year, month))
    return of_wall(days_since_1970(year, month, day) * DAY + wall % DAY)
