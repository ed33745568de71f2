"""What an organization may use at a moment: of its trial, of the plan that it pays for, or without limit."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.metering.models import Allowance
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import Standing, State, standing


def allowance(organization: Organization, moment: datetime | None = None) -> Allowance | None:
    """What is in force; None where nothing limits the organization: it is active and has never had a plan."""
    moment = moment or now()
    found = standing(organization, moment)
    state = found.state
    if found.is_under_review:
        return _nothing(organization, moment)
    if state == State.TRIAL:
        return _of_trial(organization, found)
    given = Allowance.unscoped.filter(organization=organization)
    in_force = given.filter(from_at__lte=moment, until_at__gt=moment).first()
    if in_force is not None and state in (State.ACTIVE, State.PAST_DUE):
        return in_force
    if state == State.ACTIVE and not given.exists():
        return None
    return _nothing(organization, moment)


def give_allowance(granted: Allowance) -> Allowance:
    """A span of a plan, from its beginning on; one that is in force then ends there."""
    earlier = Allowance.unscoped.filter(organization_id=granted.organization_id, until_at__gt=granted.from_at)
    earlier.filter(from_at__lt=granted.from_at).update(until_at=granted.from_at)
    earlier.filter(from_at__gte=granted.from_at).delete()
    granted.save(force_insert=True)
    return granted


def end_allowance(organization_id: str, moment: datetime) -> None:
    """From that moment on nothing is given."""
    current = Allowance.unscoped.filter(organization_id=organization_id, until_at__gt=moment)
    current.filter(from_at__lt=moment).update(until_at=moment)
    current.filter(from_at__gte=moment).delete()


def _of_trial(organization: Organization, found: Standing) -> Allowance:
    site, begin = configuration(), organization.trial_started_at
    return Allowance(
        organization=organization,
        from_at=begin,
        until_at=found.until or begin + timedelta(days=site.trial_days),
        plan_code="trial",
        plan_name="Trial",
        compute_s=site.trial_compute_hours * 3600,
        storage_bytes=site.trial_storage_bytes,
        files=site.trial_files,
    )


def _nothing(organization: Organization, moment: datetime) -> Allowance:
    return Allowance(
        organization=organization,
        from_at=moment,
        until_at=moment + timedelta(days=1),
        plan_code="",
        plan_name="None",
        compute_s=0,
        storage_bytes=0,
        files=0,
    )
