"""When months begin and end: at the wall clock of the seller, counted from the anchor of a subscription."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime

from cryocloud.web.core.days import ZONE

MONTHS = {"monthly": 1, "yearly": 12}


@dataclass(frozen=True)
class Span:
    """From one moment up to, not including, another."""

    from_at: datetime
    until_at: datetime


def boundary(anchor: datetime, months: int) -> datetime:
    """The moment so many calendar months after the anchor, at the same wall time, in UTC.

    A day that the month lacks is its last one. A wall time that a change to summer time leaves out is moved forward by
    the gap; of one that exists twice it is the first.
    """
    if months == 0:
        return anchor.astimezone(UTC)
    wall = anchor.astimezone(ZONE)
    year, month = divmod(wall.year * 12 + wall.month - 1 + months, 12)
    day = min(wall.day, monthrange(year, month + 1)[1])
    return wall.replace(year=year, month=month + 1, day=day, fold=0).astimezone(UTC)
