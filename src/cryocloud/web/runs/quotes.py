"""What an order would take of the compute that is left, and what it would cost beyond the plan."""

from __future__ import annotations

from dataclasses import dataclass

from cryocloud.catalog.forecasting import Range
from cryocloud.web.billing.money import rounded, spoken
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.metering.services import (
    billed_and_running_s,
    remaining_compute_s,
    running_compute_s,
    used_compute_s,
)
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.models import Project


@dataclass(frozen=True)
class Quote:
    """Before an order begins. ``left_s`` is what it may take at most, None: no limit; money is in cents without VAT.

    ``low_cents`` and ``high_cents`` are what the forecast range costs beyond what is included; None: nothing has a
    price, and work pauses when the included is used up.
    """

    left_s: float | None
    is_capped: bool
    low_cents: int | None
    high_cents: int | None
    cents_an_hour: int | None

    @property
    def price_words(self) -> str:
        if self.low_cents is None or self.high_cents is None:
            return ""
        if self.high_cents == 0:
            return "included in the plan"
        if self.low_cents == self.high_cents:
            return f"{spoken(self.high_cents)} beyond the plan"
        return f"{spoken(self.low_cents)} to {spoken(self.high_cents)} beyond the plan"


def quote_of(project: Project, wall_s: Range) -> Quote:
    """An attempt takes one slot, so that its runtime is what is billed."""
    organization = Organization.objects.get(pk=project.organization_id)
    limit = compute_limit(organization)
    low_cents = high_cents = None
    if limit.cents_an_hour is not None and limit.included_s is not None:
        used_s = used_compute_s(organization) + running_compute_s(organization)
        included_left_s = max(0.0, limit.included_s - used_s)
        low_cents = price_cents(wall_s.low - included_left_s, limit.cents_an_hour)
        high_cents = price_cents(wall_s.high - included_left_s, limit.cents_an_hour)
    left_s, cap_left_s = remaining_compute_s(organization), cap_left_of_project(project)
    is_capped = cap_left_s is not None and (left_s is None or cap_left_s < left_s)
    return Quote(cap_left_s if is_capped else left_s, is_capped, low_cents, high_cents, limit.cents_an_hour)


def price_cents(over_s: float, cents_an_hour: int) -> int:
    return rounded(max(0, round(over_s)) * cents_an_hour, 3600)


def cap_left_of_project(project: Project) -> float | None:
    """What is left of its cap; None without one."""
    if project.compute_cap_s is None:
        return None
    return max(
        0.0, project.compute_cap_s - billed_and_running_s(project.organization_id, project_id=project.pk)
    )
