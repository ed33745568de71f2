"""Where an organization stands: its states, what each lets people do, and the only ways from one to the next.

``trial -> trial_ended -> closed``, ``active -> past_due -> active | ended``, ``ended -> retrieval -> closed -> purged``
What the clock alone brings about happens at its exact moment: ``standing`` tells the state of this very second, and
``settle`` writes it down later under the moment at which it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from cryocloud.web.audit.services import record_event
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict
from cryocloud.web.core.plain_text import REASON_LENGTH
from cryocloud.web.organizations.models import Organization, StateChange, TrialReview

State = Organization.State
PURGE_AFTER = timedelta(hours=24)
"""From closing until the data are due to be erased."""
CLOCK = "clock"
"""The actor of what nobody did."""
MAILED_LINK = "mailed link"
"""The actor of what somebody did by a link that was mailed to them, without logging in."""

WAYS = {
    State.TRIAL: {State.TRIAL_ENDED, State.ACTIVE},
    State.TRIAL_ENDED: {State.ACTIVE, State.CLOSED},
    State.ACTIVE: {State.PAST_DUE, State.ENDED},
    State.PAST_DUE: {State.ACTIVE, State.ENDED},
    State.ENDED: {State.RETRIEVAL},
    State.RETRIEVAL: {State.ACTIVE, State.CLOSED},
    State.CLOSED: {State.PURGED},
    State.PURGED: set(),
}
OF_THE_CLOCK = {
    State.TRIAL: (State.TRIAL_ENDED, "The trial is over."),
    State.TRIAL_ENDED: (State.CLOSED, "No plan was chosen after the trial."),
    State.RETRIEVAL: (State.CLOSED, "The time to fetch data is over."),
}
"""What follows when ``state_until`` has come, and why."""


@dataclass(frozen=True)
class Standing:
    """A state and when the clock will change it; None: never by itself."""

    state: State
    since: datetime
    until: datetime | None
    is_under_review: bool = False

    @property
    def may_compute(self) -> bool:
        """Run jobs; what is left of the plan is counted elsewhere."""
        return self.may_add and not self.is_under_review

    @property
    def may_add(self) -> bool:
        """Upload, make and change things."""
        return self.state in (State.TRIAL, State.ACTIVE, State.PAST_DUE)

    @property
    def may_read(self) -> bool:
        """See, export and delete."""
        return self.state not in (State.CLOSED, State.PURGED)


def changes_of(organization: Organization) -> QuerySet[StateChange]:
    """Newest first, for somebody who came through the door."""
    return StateChange.unscoped.filter(organization=organization).order_by("-at", "-created_at")


def lasts(state: State) -> timedelta | None:
    """How long a state lasts by itself; a day is 24 hours."""
    site = configuration()
    days = {
        State.TRIAL: site.trial_days,
        State.TRIAL_ENDED: site.retrieval_days,
        State.RETRIEVAL: site.retrieval_days,
    }.get(state)
    return None if days is None else timedelta(days=days)


def standing(organization: Organization, moment: datetime | None = None) -> Standing:
    """The state at a moment, this one if none is given; nothing is written."""
    moment = moment or now()
    reached = Standing(
        State(organization.state),
        organization.state_since,
        organization.state_until,
        organization.is_under_review,
    )
    while reached.until is not None and reached.until <= moment:
        following, _ = OF_THE_CLOCK[reached.state]
        span = lasts(following)
        reached = Standing(following, reached.until, None if span is None else reached.until + span)
    return reached


def unreachable(moment: datetime, prefix: str = "") -> Q:
    """The rows that ``standing`` finds closed or purged at a moment; ``prefix`` leads to the organization."""

    def row(**conditions: object) -> Q:
        return Q(**{prefix + name: value for name, value in conditions.items()})

    read_only = lasts(State.TRIAL_ENDED) or timedelta(0)
    return (
        row(state__in=(State.CLOSED, State.PURGED))
        | row(state__in=(State.TRIAL_ENDED, State.RETRIEVAL), state_until__lte=moment)
        | row(state=State.TRIAL, state_until__lte=moment - read_only)
    )


@transaction.atomic
def settle(organization_id: str) -> Organization:
    """Write down what the clock has brought about, each change under its own moment; the row is held."""
    held = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    moment = now()
    while held.state_until is not None and held.state_until <= moment:
        following, reason = OF_THE_CLOCK[State(held.state)]
        _change(held, following, held.state_until, reason=reason, actor_id=CLOCK)
    return held


@transaction.atomic
def move(
    organization_id: str, to: State, *, reason: str, actor_id: str, moment: datetime | None = None
) -> Organization:
    """Change the state now, after what the clock has brought about; a way that does not exist is a ``Conflict``."""
    held = settle(organization_id)
    _change(held, to, moment or now(), reason=reason, actor_id=actor_id)
    return held


@transaction.atomic
def prolong(organization_id: str, until: datetime, *, reason: str, actor_id: str) -> Organization:
    """Let a state that the clock would end last until another moment; the trial's, or the time to fetch data."""
    held = settle(organization_id)
    state = State(held.state)
    if held.state_until is None:
        raise Conflict(f"“{state.label}” does not end by itself, so there is nothing to prolong.")
    if until <= held.state_until:
        raise Conflict(f"It lasts until {held.state_until:%Y-%m-%d %H:%M} UTC already; give a later moment.")
    held.state_until = until
    held.save(update_fields=["state_until"])
    said = f"Until {until:%Y-%m-%d %H:%M} UTC: {reason}"[:REASON_LENGTH]
    _note(held, state, now(), reason=said, actor_id=actor_id)
    return held


@transaction.atomic
def begin_reviewed_trial(organization_id: str, *, reason: str, actor_id: str) -> Organization:
    """A trial that was under review begins now, with all its days."""
    held = settle(organization_id)
    if not held.is_under_review:
        raise Conflict("This trial is not under review.")
    moment, span = now(), lasts(State.TRIAL)
    assert span is not None
    held.trial_started_at = held.state_since = moment
    held.state_until, held.is_under_review = moment + span, False
    held.save(update_fields=["trial_started_at", "state_since", "state_until", "is_under_review"])
    _note(held, State.TRIAL, moment, reason=reason, actor_id=actor_id)
    return held


def _change(held: Organization, to: State, moment: datetime, *, reason: str, actor_id: str) -> None:
    before = State(held.state)
    if to not in WAYS[before]:
        raise Conflict(f"The organization is “{before.label}”; from there no way leads to “{to.label}”.")
    span = lasts(to)
    if held.is_under_review:
        open_review = TrialReview.unscoped.filter(organization=held, decision=TrialReview.Decision.OPEN)
        open_review.update(decision=TrialReview.Decision.MOOT, decided_at=moment)
    held.state, held.state_since, held.is_under_review = to, moment, False
    held.state_until = None if span is None else moment + span
    held.save(update_fields=["state", "state_since", "state_until", "is_under_review"])
    _note(held, before, moment, reason=reason, actor_id=actor_id)


def _note(held: Organization, before: State, moment: datetime, *, reason: str, actor_id: str) -> None:
    change = StateChange.unscoped.create(
        organization=held, before=before, after=held.state, at=moment, reason=reason, actor_id=actor_id
    )
    record_event(
        "organization.state_changed",
        organization_id=held.pk,
        target=change,
        actor_id=actor_id,
        via=actor_id if actor_id in (CLOCK, MAILED_LINK) else "",
        before=before,
        after=held.state,
        until=held.state_until.isoformat() if held.state_until else "",
        reason=reason,
    )
