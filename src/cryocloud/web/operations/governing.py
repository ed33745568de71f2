"""What an operator decides about people and organizations: with a reason, and written to the audit log."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.accounts.services import deactivate_person, reactivate_person
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.plain_text import checked_reason
from cryocloud.web.organizations.models import Organization


@dataclass(frozen=True)
class Limits:
    """What an organization may; a limit of None is that of its trial or plan."""

    compute_hours_max: int | None
    storage_bytes_max: int | None
    files_max: int | None
    slots_max: int | None


@transaction.atomic
def close_account(*, actor: Actor, person: User, reason: str) -> None:
    held = _locked(actor, person, "Closing an account")
    if held.pk == actor.user.pk:
        raise Conflict("This is your own account. Another operator can close it, or: cryocloud deactivate.")
    if not held.is_active:
        raise Conflict(f"The account of {held.email} is closed already.")
    deactivate_person(person=held, actor=actor, reason=checked_reason(reason))


@transaction.atomic
def reopen_account(*, actor: Actor, person: User, reason: str) -> None:
    held = _locked(actor, person, "Reopening an account")
    if held.is_active:
        raise Conflict(f"The account of {held.email} is open already.")
    reactivate_person(person=held, actor=actor, reason=checked_reason(reason))


@transaction.atomic
def set_limits(*, actor: Actor, organization: Organization, limits: Limits, reason: str) -> None:
    """The limits; what is different is written down with the reason."""
    require_operator(actor)
    require_second_factor(actor, "Changing limits")
    held = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    wanted = asdict(limits)
    changes = {
        name: [getattr(held, name), value] for name, value in wanted.items() if getattr(held, name) != value
    }
    if not changes:
        raise Refused("Nothing is different from what holds now.")
    said = checked_reason(reason)
    for name in changes:
        setattr(held, name, wanted[name])
    held.save(update_fields=list(changes))
    record_event(
        "organization.limits_set",
        organization_id=held.pk,
        target=held,
        actor_id=actor.user.pk,
        via=actor.via,
        reason=said,
        changes=changes,
    )


def _locked(actor: Actor, person: User, purpose: str) -> User:
    require_operator(actor)
    require_second_factor(actor, purpose)
    return User.objects.select_for_update(no_key=True).get(pk=person.pk)
