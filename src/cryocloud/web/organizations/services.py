"""Who belongs to which organization, and as what."""

from __future__ import annotations

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.answers import forget_answers
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.audit.services import record_event
from cryocloud.web.audit.tombstones import bury
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Conflict, Forbidden, NotFound
from cryocloud.web.core.plain_text import clean_name
from cryocloud.web.organizations import access
from cryocloud.web.organizations.grants import end_grants
from cryocloud.web.organizations.invitations import accept_invitation, invite_member, revoke_invitation
from cryocloud.web.organizations.models import Membership, Organization, Role, TrialReview
from cryocloud.web.organizations.trials import begins_with_trial, note_trial, suspicion_about

__all__ = (
    "accept_invitation",
    "change_role",
    "create_organization",
    "invite_member",
    "open_organization",
    "remove_member",
    "rename_organization",
    "revoke_invitation",
    "switch_organization",
)
REVIEWS_OPEN_MAX = 3


@transaction.atomic
def create_organization(*, actor: Actor, name: str) -> Organization:
    """A further organization, to which the actor is switched."""
    if actor.token:
        raise Forbidden("A token reaches one organization and cannot make another. Log in to the pages.")
    User.objects.select_for_update(no_key=True).get(pk=actor.user.pk)
    require_may_create(actor)
    return open_organization(actor=actor, name=name)


@transaction.atomic
def open_organization(*, actor: Actor, name: str) -> Organization:
    """A new organization, in its trial where there are trials, owned by the actor; the sign-up has been allowed."""
    has_trial = begins_with_trial(actor.user)
    suspicion = suspicion_about(actor.user) if has_trial else ""
    organization = Organization.objects.create(
        name=clean_name(name, field="name"),
        state=Organization.State.TRIAL if has_trial else Organization.State.ACTIVE,
        is_under_review=bool(suspicion),
    )
    if has_trial:
        note_trial(organization, actor.user, suspicion)
    Membership.unscoped.create(organization=organization, user=actor.user, role=Role.OWNER)
    _switch(actor.user, organization.id)
    _record("organization.created", actor, organization, organization)
    return organization


def require_may_create(actor: Actor) -> None:
    """Where only invited people may sign up, only operators make organizations."""
    if not (configuration().sign_up_open or actor.user.is_operator):
        raise Forbidden("Here, only the operator makes organizations.")
    waiting = TrialReview.unscoped.filter(asked_by_id=actor.user.pk, decision=TrialReview.Decision.OPEN)
    if waiting.count() >= REVIEWS_OPEN_MAX:
        raise Conflict(
            f"The trials of {REVIEWS_OPEN_MAX} of your organizations are under review. Wait for the decision, which is "
            "mailed to you, then make another one."
        )


@transaction.atomic
def rename_organization(*, actor: Actor, organization: Organization, name: str) -> None:
    access.require_governor(actor, organization.id, purpose=access.Purpose.ADD)
    organization.name = clean_name(name, field="name")
    organization.save(update_fields=["name"])
    _record("organization.renamed", actor, organization, organization)


@transaction.atomic
def switch_organization(*, actor: Actor, organization: Organization) -> None:
    access.require_role(actor, organization.id, Role.VIEWER, access.Purpose.GOVERN)
    _switch(actor.user, organization.id)


@transaction.atomic
def change_role(*, actor: Actor, membership: Membership, role: Role) -> None:
    """Only owners make owners and change them; an organization keeps at least one."""
    held = _lock(actor, membership, needs=Role.ADMIN)
    require_may_change(actor, held, role)
    if held.role == role:
        return
    before, held.role = Role(held.role), role
    held.save(update_fields=["role"])
    if role < before:
        end_grants(actor, held, role)
        forget_answers(held.user_id)
        bury("role", held.pk, role=int(role))
    _record("member.role_changed", actor, held.organization, held, before=before.label, after=role.label)


def require_may_change(actor: Actor, membership: Membership, role: Role) -> None:
    access.require_governor(actor, membership.organization_id)
    if Role.OWNER in (membership.role, role):
        access.require_role(actor, membership.organization_id, Role.OWNER)
    require_second_factor(actor, "Changing roles")
    if membership.role != role:
        _require_another_owner(membership)


@transaction.atomic
def remove_member(*, actor: Actor, membership: Membership) -> None:
    """Ends a membership, one's own too; what the person made stays with the organization."""
    own = membership.user_id == actor.user.pk
    held = _lock(actor, membership, needs=Role.VIEWER if own else Role.ADMIN)
    if own and actor.token:
        raise Forbidden("A token cannot leave an organization. Log in to the pages.")
    if not own:
        access.require_governor(actor, held.organization_id)
        require_second_factor(actor, "Removing a member")
    if held.role == Role.OWNER:
        access.require_role(actor, held.organization_id, Role.OWNER)
    _require_another_owner(held)
    end_grants(actor, held, None)
    forget_answers(held.user_id)
    bury("membership", held.pk)
    User.objects.filter(pk=held.user_id, current_organization_id=held.organization_id).update(
        current_organization_id=""
    )
    _record("member.left" if own else "member.removed", actor, held.organization, held, person=held.user_id)
    held.delete()


def _lock(actor: Actor, membership: Membership, *, needs: Role) -> Membership:
    """The membership as it is now; changes to the members of one organization happen one after the other."""
    access.require_role(actor, membership.organization_id, needs, access.Purpose.GOVERN)
    Organization.objects.select_for_update(no_key=True).get(pk=membership.organization_id)
    held = Membership.unscoped.select_related("organization").filter(pk=membership.pk).first()
    if held is None:
        raise NotFound
    return held


def _require_another_owner(held: Membership) -> None:
    owners = Membership.unscoped.filter(organization_id=held.organization_id, role=Role.OWNER)
    if held.role == Role.OWNER and owners.exclude(pk=held.pk).count() == 0:
        raise Conflict(
            "This is the last owner of the organization. Make somebody else an owner first, so that it keeps one."
        )


def _switch(person: User, organization_id: str) -> None:
    person.current_organization_id = organization_id
    person.save(update_fields=["current_organization_id"])


def _record(
    verb: str, actor: Actor, organization: Organization, target: Organization | Membership, **detail: str
) -> None:
    record_event(
        verb,
        organization_id=organization.id,
        target=target,
        actor_id=actor.user.id,
        via=actor.via,
        **detail,
    )
