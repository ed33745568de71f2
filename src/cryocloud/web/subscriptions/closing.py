"""Closing an organization before its time: by an owner, from where the clock would close it anyway."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State, move, settle
from cryocloud.web.subscriptions.letters import PLAN_PAGE, when
from cryocloud.web.subscriptions.orders import require_owner

CLOSING = (State.TRIAL_ENDED, State.RETRIEVAL)


@transaction.atomic
def close_organization(*, actor: Actor, organization: Organization, name: str) -> Organization:
    """Ends the time to fetch data now. ``name`` is typed by whoever does it, so that nothing is closed by a slip."""
    held = _hold(actor, organization, "Closing an organization")
    if name.strip() != held.name:
        raise Refused(
            "The name differs.", {"name": f"Type the name of the organization exactly: {held.name}"}
        )
    return move(held.pk, State.CLOSED, reason="An owner closed it.", actor_id=actor.user.pk)


@transaction.atomic
def shorten_retrieval(*, actor: Actor, organization: Organization, until: datetime) -> Organization:
    """An earlier end of the time to fetch data; never a later one."""
    held = _hold(actor, organization, "Shortening the time to fetch data")
    latest = held.state_until
    assert latest is not None
    if not now() < until < latest:
        raise Refused(
            "That moment cannot be used.", {"until": f"Give a moment from now on and before {when(latest)}."}
        )
    held.state_until = until
    held.save(update_fields=["state_until"])
    record_event(
        "organization.retrieval_shortened",
        organization_id=held.pk,
        target=held,
        actor_id=actor.user.pk,
        via=actor.via,
        before=latest.isoformat(),
        until=until.isoformat(),
    )
    write_to_owners(
        held,
        key=f"retrieval-shortened:{until.isoformat()}",
        title=f"{held.name[:60]} closes earlier",
        message=f"An owner has set the end of the time to fetch data to {when(until)}; it was {when(latest)}.",
        path=PLAN_PAGE,
    )
    return held


def _hold(actor: Actor, organization: Organization, purpose: str) -> Organization:
    require_owner(actor, organization, purpose)
    held = settle(organization.pk)
    if held.state not in CLOSING:
        raise Conflict(
            f"The organization is “{held.get_state_display()}”. It can be closed when its trial or its plan has ended; "
            "deactivate the plan first."
        )
    return held
