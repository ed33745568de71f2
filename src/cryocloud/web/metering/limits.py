"""How much compute an organization may use at a moment, and from when on it is counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryocloud.web.core.clock import now
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.metering.models import Allowance
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State, standing


@dataclass(frozen=True)
class ComputeLimit:
    """Of one span: what is included, and what the owner lets it cost beyond. ``limit_s`` None: no limit.

    Attempts that end from ``from_at`` on, up to and not including ``until_at``, count; None: all.
    """

    from_at: datetime | None
    until_at: datetime | None
    included_s: int | None
    limit_s: int | None
    cents_an_hour: int | None = None


def compute_limit(organization: Organization, moment: datetime | None = None) -> ComputeLimit:
    moment = moment or now()
    held = standing(organization, moment)
    by_hand = organization.compute_hours_max
    given = allowance(organization, moment)
    if given is None:
        included_s = None if by_hand is None else by_hand * 3600
        return ComputeLimit(None, None, included_s, included_s)
    is_plan = bool(given.plan_code)
    from_at, until_at = (given.from_at, given.until_at) if is_plan else (held.since, None)
    if not held.may_compute:
        return ComputeLimit(from_at, until_at, 0, 0)
    included_s = given.compute_s if by_hand is None else by_hand * 3600
    rate = given.compute_cents_an_hour if held.state == State.ACTIVE else None
    return ComputeLimit(from_at, until_at, included_s, _with_overage(included_s, given, rate), rate)


def _with_overage(included_s: int, given: Allowance, rate: int | None) -> int | None:
    if rate is None:
        return included_s
    return included_s + given.spending_limit_cents * 3600 // rate if rate else None
