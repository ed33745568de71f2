"""An owner who does not wait for the end of the time in which data can be fetched."""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.lifecycle.dates import newest_due
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.organizations.access import require_governor
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.organizations.state_words import name_of
from cryocloud.web.organizations.states import WAYS, State, move, settle, standing


@transaction.atomic
def close_organization(*, actor: Actor, organization: Organization, name: str) -> Organization:
    """Its data cannot be reached from this moment on; ``name`` is typed again, so that none is closed by mistake."""
    require_governor(actor, organization.pk, Role.OWNER)
    require_second_factor(actor, "Closing an organization")
    held = settle(organization.pk)
    require_closable(held)
    if " ".join(name.split()) != held.name:
        raise Refused("The name is another one.", {"name": f"Type “{held.name}” to close it."})
    closed = move(held.pk, State.CLOSED, reason="An owner closed it.", actor_id=actor.user.pk)
    letter = newest_due(closed, closed.state_since)
    assert letter is not None
    write_to_owners(closed, key=letter.key, title=letter.title, message=letter.message, path="/organization/")
    return closed


def require_closable(organization: Organization) -> None:
    """A plan is deactivated first: closing and paying are two things."""
    found = standing(organization)
    if State.CLOSED not in WAYS[found.state]:
        raise Conflict(
            f"“{organization.name}” cannot be closed now: {name_of(found).lower()}. That is possible after its trial "
            "or its plan has ended."
        )
