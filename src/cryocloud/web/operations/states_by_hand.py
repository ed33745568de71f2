"""The steps from state to state that an operator may take for an organization: those that exist, each with a reason."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.plain_text import checked_reason
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.state_words import following_of, meaning_of, name_of
from cryocloud.web.organizations.states import State, move, prolong, settle, standing

PROLONG, ACTIVATE, END_TRIAL, END, CLOSE = "prolong", "activate", "end_trial", "end", "close"


def steps(organization: Organization) -> dict[str, str]:
    """What can be done now, in words."""
    found = standing(organization)
    if found.is_under_review:
        return {}
    read_only = {
        PROLONG: "Prolong the time to fetch data",
        ACTIVATE: "Activate it without a plan: no limits but those set here",
        CLOSE: "Close it now: its data cannot be reached any more",
    }
    match found.state:
        case State.TRIAL:
            return {
                PROLONG: "Prolong the trial",
                ACTIVATE: read_only[ACTIVATE],
                END_TRIAL: "End the trial now: data can be read only",
            }
        case State.TRIAL_ENDED | State.RETRIEVAL:
            return read_only
        case State.ACTIVE if allowance(organization) is None:
            return {END: "End its use: data can be read only"}
    return {}


@transaction.atomic
def take_step(
    *, actor: Actor, organization: Organization, step: str, until: datetime | None, reason: str
) -> Organization:
    """Owners get a letter about it."""
    require_operator(actor)
    require_second_factor(actor, "Changing the state of an organization")
    held = settle(organization.pk)
    if step not in steps(held):
        raise Conflict(
            f"“{held.name}” is {name_of(standing(held))} by now; this step does not lead on from there."
        )
    said, by = checked_reason(reason), actor.user.pk
    if step == PROLONG:
        if until is None:
            raise Refused("A moment is needed.", {"until": "Say until when, in UTC."})
        held = prolong(held.pk, until, reason=said, actor_id=by)
    else:
        for state in _LEADING_TO[step]:
            held = move(held.pk, state, reason=said, actor_id=by)
    _tell(held, said)
    return held


_LEADING_TO = {
    ACTIVATE: (State.ACTIVE,),
    END_TRIAL: (State.TRIAL_ENDED,),
    END: (State.ENDED, State.RETRIEVAL),
    CLOSE: (State.CLOSED,),
}


def _tell(held: Organization, reason: str) -> None:
    found = standing(held)
    lines = [
        f"The state of the organization was changed: {name_of(found)}. {meaning_of(found)}",
        following_of(found),
    ]
    write_to_owners(
        held,
        key=f"by hand {found.state} {found.since.isoformat()} {found.until.isoformat() if found.until else ''}",
        title=f"State changed: {name_of(found)}",
        message="\n\n".join(line for line in (*lines, f"Reason: {reason}") if line),
        path="/organization/",
    )
