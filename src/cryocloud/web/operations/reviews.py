"""Trials that somebody has to look at first, and what an operator decides about them."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict
from cryocloud.web.core.plain_text import checked_reason
from cryocloud.web.lifecycle.dates import newest_due
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.organizations.models import Organization, TrialReview
from cryocloud.web.organizations.state_words import following_of, meaning_of
from cryocloud.web.organizations.states import State, begin_reviewed_trial, move, standing

_Decision = TrialReview.Decision


def reviews(*, is_open: bool) -> QuerySet[TrialReview]:
    """The oldest open ones first, or those decided, the newest first."""
    rows = TrialReview.unscoped.select_related("organization")
    if is_open:
        return rows.filter(decision=_Decision.OPEN).order_by("created_at", "pk")
    return rows.exclude(decision=_Decision.OPEN).order_by("-decided_at", "-pk")


@transaction.atomic
def decide_review(*, actor: Actor, review: TrialReview, granted: bool, reason: str) -> None:
    """A granted trial begins now with all its days; without it the organization can only choose a plan."""
    require_operator(actor)
    require_second_factor(actor, "Deciding about a trial")
    Organization.objects.select_for_update(no_key=True).get(pk=review.organization_id)
    held = TrialReview.unscoped.select_for_update(no_key=True).get(pk=review.pk)
    if held.decision != _Decision.OPEN:
        raise Conflict(f"This has been decided already: {held.get_decision_display()}.")
    held.reason, held.decided_by_id, held.decided_at = checked_reason(reason), actor.user.pk, now()
    held.decision = _Decision.GRANTED if granted else _Decision.REFUSED
    held.save()
    key, by, reason = held.organization_id, actor.user.pk, held.reason
    if granted:
        begun = begin_reviewed_trial(key, reason=reason, actor_id=by)
        _tell(begun, "The trial has begun", reason)
    else:
        ended = move(key, State.TRIAL_ENDED, reason=reason, actor_id=by)
        _tell(ended, "There is no further trial", reason)
    record_event(
        f"trial.{held.decision}",
        organization_id=held.organization_id,
        target=held,
        actor_id=actor.user.pk,
        via=actor.via,
        reason=held.reason,
    )


def _tell(organization: Organization, title: str, reason: str) -> None:
    """In place of the letter that the clock would write about the same."""
    found, due = standing(organization), newest_due(organization, now())
    write_to_owners(
        organization,
        key=due.key if due else f"review decided {found.since.isoformat()}",
        title=title,
        message=f"{meaning_of(found)}\n\n{following_of(found)}\n\nReason: {reason}",
        path="/organization/",
    )
