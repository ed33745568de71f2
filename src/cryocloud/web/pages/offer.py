"""What is sold, in words: each figure comes from the terms that also bill and enforce."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma

from cryocloud.web import terms
from cryocloud.web.billing.money import rounded, spoken
from cryocloud.web.billing.vat import HOME, rate_text, standard_rate
from cryocloud.web.core.clock import now
from cryocloud.web.core.days import day_of
from cryocloud.web.pages.templatetags.wording import bytes_text
from cryocloud.web.terms import Plan

FULL_BP = 10_000


@dataclass(frozen=True)
class Card:
    """A plan: its prices for a business and for a consumer, and what they buy."""

    name: str
    monthly: str
    monthly_with_vat: str
    yearly: str
    yearly_with_vat: str
    vat_rate: str
    lines: list[str]


def plan_cards() -> list[Card]:
    """Those on offer; none where nothing is sold."""
    sold = terms.billing()
    if sold is None:
        return []
    rate_bp = standard_rate(HOME, day_of(now()))
    return [_card(plan, rate_bp) for plan in sold.offered]


def _card(plan: Plan, rate_bp: int) -> Card:
    yearly = plan.yearly_cents
    return Card(
        name=plan.name,
        monthly=spoken(plan.monthly_cents),
        monthly_with_vat=spoken(_with_vat(plan.monthly_cents, rate_bp)),
        yearly="" if yearly is None else spoken(yearly),
        yearly_with_vat="" if yearly is None else spoken(_with_vat(yearly, rate_bp)),
        vat_rate=rate_text(rate_bp),
        lines=included(plan),
    )


def _with_vat(cents: int, rate_bp: int) -> int:
    return cents + rounded(cents * rate_bp, FULL_BP)


def included(plan: Plan) -> list[str]:
    """What a month of a plan holds, and what goes beyond it."""
    files = "" if plan.files is None else f", {intcomma(plan.files)} files"
    hour, terabyte = plan.compute_cents_an_hour, plan.storage_cents_a_terabyte_month
    lines = [
        f"{intcomma(plan.compute_hours)} hours of compute a month",
        f"{bytes_text(plan.storage_bytes)} of storage{files}",
    ]
    if plan.slots is not None:
        lines.append(f"{plan.slots} jobs at the same time")
    if hour is None and terabyte is None:
        lines.append("Never costs more: work stops at what is included")
    if hour is not None:
        lines.append(f"Further compute: {spoken(hour)} an hour, up to a limit that you set, without VAT")
    if terabyte is not None:
        lines.append(
            f"Further storage: {spoken(terabyte)} for 1 TB kept 30 days, up to twice what is included, without VAT"
        )
    return lines
