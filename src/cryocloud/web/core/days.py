"""Calendar days of the books: those of the seller's wall clock."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from cryocloud.web.core.clock import now

ZONE = ZoneInfo("Europe/Amsterdam")


def day_of(moment: datetime) -> date:
    return moment.astimezone(ZONE).date()


def today() -> date:
    return day_of(now())


def quarter_of(day: date) -> str:
    """The quarter that tax returns name: ``2026 Q1``."""
    return f"{day.year} Q{(day.month + 2) // 3}"


def days_of_quarter(year: int, quarter: int) -> tuple[date, date]:
    """Its first and its last day."""
    first = date(year, 3 * quarter - 2, 1)
    following = date(year + quarter // 4, 3 * (quarter % 4) + 1, 1)
    return first, following - timedelta(days=1)
