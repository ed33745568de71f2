"""Where an organization stands, for pages: its state, what that means, what comes next, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from cryocloud.web import terms
from cryocloud.web.accounts.models import User
from cryocloud.web.core.clock import now
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.state_words import following_of, meaning_of, name_of, why_closed
from cryocloud.web.organizations.states import CLOCK, MAILED_LINK, Standing, State, changes_of, standing

TOLD_EVERYWHERE = (State.TRIAL_ENDED, State.RETRIEVAL, State.PAST_DUE, State.CLOSED, State.PURGED)


@dataclass(frozen=True)
class Shown:
    """A state in words; ``key`` colors its badge."""

    key: str
    name: str
    meaning: str
    following: str
    since: datetime
    until: datetime | None
    days_left: int | None
    is_told_everywhere: bool
    is_worth_showing: bool


@dataclass(frozen=True)
class Step:
    """One line of the history; ``actor`` is empty for the clock."""

    at: datetime
    words: str
    reason: str
    actor: str


def shown_standing(organization: Organization) -> Shown:
    found = standing(organization)
    is_closed = not found.may_read
    return Shown(
        key="review" if found.is_under_review else str(found.state),
        name=name_of(found),
        meaning=why_closed(organization, found) if is_closed else meaning_of(found),
        following="" if is_closed else following_of(found),
        since=found.since,
        until=found.until,
        days_left=_days_left(found),
        is_told_everywhere=found.is_under_review or found.state in TOLD_EVERYWHERE,
        is_worth_showing=found.state != State.ACTIVE or terms.billing() is not None,
    )


def _days_left(found: Standing) -> int | None:
    return None if found.until is None else max(0, ceil((found.until - now()) / timedelta(days=1)))


def state_history(organization: Organization) -> list[Step]:
    """Newest first. Whoever is no member, such as staff, is named as the operator."""
    changes = list(changes_of(organization))
    members = User.objects.filter(
        pk__in={change.actor_id for change in changes}, memberships__organization=organization
    )
    names = {CLOCK: "", MAILED_LINK: "a mailed link"} | {
        person.pk: person.name or person.email for person in members
    }
    return [
        Step(
            change.at,
            change.get_after_display()
            if change.before != change.after
            else f"{change.get_after_display()}: new dates",
            change.reason,
            names.get(change.actor_id, "the operator"),
        )
        for change in changes
    ]
