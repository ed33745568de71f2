"""What a plan costs: lines of an invoice in whole net cents, each rounded once. No row is read here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryocloud.web.billing.invoicing import DraftLine
from cryocloud.web.billing.money import rounded
from cryocloud.web.subscriptions.calendar import Span
from cryocloud.web.terms import Plan

UNITS = {"monthly": "month", "yearly": "year"}
HOUR_S = 3600
TERABYTE = 10**12
HOURS_OF_A_MONTH = 720
"""A rate for storage is for 10^12 bytes kept for 30 days."""
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Kept:
    """What lay in storage in a span: the sum over its full hours of the bytes, and how many hours these were."""

    byte_hours: int
    hours: int


def price_cents(plan: Plan, interval: str) -> int:
    """Of one price period."""
    cents = plan.monthly_cents if interval == "monthly" else plan.yearly_cents
    assert cents is not None, f"{plan.code} has no price for {interval}"
    return cents


def is_upgrade(new: Plan, old: Plan) -> bool:
    """Whether a change begins at once; all others, those of the interval alone too, wait for the next price period."""
    return new.monthly_cents > old.monthly_cents


def plan_line(plan: Plan, interval: str, period: Span) -> DraftLine:
    """The price of a period that begins."""
    return DraftLine(
        text=f"Plan {plan.name}, paid {interval}",
        quantity="1",
        unit=UNITS[interval],
        net_cents=price_cents(plan, interval),
        from_at=period.from_at,
        until_at=period.until_at,
        kind="plan",
    )


def unused_cents(price: int, period: Span, moment: datetime) -> int:
    """Of a price, what falls on the part of its period that is left at a moment."""
    left = max(timedelta(0), period.until_at - moment)
    return rounded(price * (left // _TICK), (period.until_at - period.from_at) // _TICK)


def credit_line(plan: Plan, interval: str, period: Span, moment: datetime) -> DraftLine:
    """What was invoiced for the part of a price period that does not come any more."""
    return DraftLine(
        text=f"Unused part of plan {plan.name}, paid {interval}",
        quantity="1",
        unit=UNITS[interval],
        net_cents=-unused_cents(price_cents(plan, interval), period, moment),
        from_at=moment,
        until_at=period.until_at,
        kind="credit",
    )


def included_hours(plan: Plan, by_hand: int | None) -> int:
    """What an operator has given on top is not charged, and what the plan includes is not either."""
    return max(plan.compute_hours, by_hand or 0)


def compute_over_s(included_s: int, billed_s: int) -> int:
    return max(0, billed_s - included_s)


def compute_cents(rate_cents: int, over_s: int, limit_cents: int) -> int:
    """Of seconds beyond what is included; never more than what the owner has allowed."""
    return min(limit_cents, rounded(over_s * rate_cents, HOUR_S))


def storage_cents(rate_cents: int, included_bytes: int, kept: Kept) -> int:
    """Of the bytes beyond what is included, on the average of the hours."""
    over = max(0, kept.byte_hours - included_bytes * kept.hours)
    return rounded(over * rate_cents, TERABYTE * HOURS_OF_A_MONTH)


def overage_lines(
    plan: Plan, month: Span, *, billed_s: int, kept: Kept, limit_cents: int, hours_by_hand: int | None = None
) -> list[DraftLine]:
    """What a month that has ended costs beyond its plan; nothing where the plan has no rate."""
    lines = []
    hours = included_hours(plan, hours_by_hand)
    over_s = compute_over_s(hours * HOUR_S, billed_s)
    if plan.compute_cents_an_hour is not None:
        cents = compute_cents(plan.compute_cents_an_hour, over_s, limit_cents)
        text = f"Compute beyond the {hours:,} hours of plan {plan.name}"
        lines.append(_overage(text, f"{over_s}", "s", cents, month, "compute"))
    if plan.storage_cents_a_terabyte_month is not None:
        cents = storage_cents(plan.storage_cents_a_terabyte_month, plan.storage_bytes, kept)
        over = max(0, kept.byte_hours - plan.storage_bytes * kept.hours)
        text = f"Storage beyond what plan {plan.name} holds"
        lines.append(_overage(text, f"{over}", "byte hours", cents, month, "storage"))
    return [line for line in lines if line.net_cents]


def _overage(
    text: str, quantity: str, unit: str, cents: int, month: Span, kind: Literal["compute", "storage"]
) -> DraftLine:
    return DraftLine(
        text=text,
        quantity=quantity,
        unit=unit,
        net_cents=cents,
        from_at=month.from_at,
        until_at=month.until_at,
        kind=kind,
    )
