"""The spans over which an organization is counted: its trial, the months of its plan; else months of the calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.metering.models import Allowance
from cryocloud.web.organizations.models import Organization

SPANS_MAX = 24


@dataclass(frozen=True)
class Span:
    """From a moment up to, not including, another; ``given`` is what was allowed in it, None: no limit."""

    title: str
    from_at: datetime
    until_at: datetime
    given: Allowance | None

    @property
    def key(self) -> str:
        return f"{self.from_at:%Y%m%dT%H%M%S}"

    def holds(self, moment: datetime) -> bool:
        return self.from_at <= moment < self.until_at


def spans_of(organization: Organization, moment: datetime | None = None) -> list[Span]:
    """Those that have begun, the latest first; there is always one."""
    moment = moment or now()
    rows = Allowance.unscoped.filter(organization=organization, from_at__lte=moment).order_by("-from_at")
    plans = [Span(f"Plan {row.plan_name}", row.from_at, row.until_at, row) for row in rows[:SPANS_MAX]]
    trial = _trial(organization, plans)
    found = [*plans, *([trial] if trial else [])]
    return found or _months(organization, moment)


def span_of(organization: Organization, key: str) -> Span:
    """The one of that key; the latest for an unknown one."""
    spans = spans_of(organization)
    return next((one for one in spans if one.key == key), spans[0])


def _trial(organization: Organization, plans: list[Span]) -> Span | None:
    """Up to the first plan, if that came before its end."""
    at_begin = organization.trial_started_at
    if organization.state == Organization.State.ACTIVE and not plans:
        return None
    given = allowance(organization, at_begin) if organization.state == Organization.State.TRIAL else None
    until_at = min([at_begin + _trial_length(organization), *(one.from_at for one in plans)])
    return Span("Trial", at_begin, until_at, given) if at_begin < until_at else None


def _trial_length(organization: Organization) -> timedelta:
    if organization.state == Organization.State.TRIAL and organization.state_until is not None:
        return organization.state_until - organization.trial_started_at
    return timedelta(days=configuration().trial_days)


def _months(organization: Organization, moment: datetime) -> list[Span]:
    """Of the calendar, since the organization was made."""
    found: list[Span] = []
    until_at = _next_month(moment)
    while until_at > organization.created_at and len(found) < SPANS_MAX:
        from_at = (until_at - timedelta(days=1)).replace(day=1)
        found.append(Span(f"{from_at:%B %Y}", from_at, until_at, None))
        until_at = from_at
    return found


def _next_month(moment: datetime) -> datetime:
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
