"""Memberships offered by mail: a single-use secret, bound to one address, in force for a week."""

from __future__ import annotations

from datetime import timedelta
from textwrap import dedent

from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import MaxLengthValidator, validate_email
from django.db import transaction
from django.db.models import QuerySet
from django_tasks import task

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.audit.services import record_event
from cryocloud.web.audit.tombstones import bury
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, Forbidden, NotFound, Refused
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Invitation, Membership, Organization, Role

INVITATION_LIFE = timedelta(days=7)
ADDRESS_LENGTH_MAX = 254


@transaction.atomic
def invite_member(*, actor: Actor, organization: Organization, email: str, role: Role) -> Invitation:
    """Offer a membership; an earlier offer to the same address ends. The mail is sent in the background."""
    _hold_members(organization.id)
    access.require_governor(actor, organization.id, inviter_needs(role), purpose=access.Purpose.ADD)
    if role >= Role.ADMIN:
        require_second_factor(actor, f"Inviting an {role.label}")
    address = _address(email)
    spend("invite", organization.id, amount=100, window_s=24 * 3600)
    if Membership.unscoped.filter(organization=organization, user__email=address).exists():
        raise Conflict(f"{address} belongs to this organization already.")
    for former in open_invitations(organization).filter(email=address):
        end_invitation(actor, former)
    invitation = Invitation.unscoped.create(
        organization=organization,
        email=address,
        role=role,
        secret_hash=hash_of(new_secret()),
        invited_by_id=actor.user.id,
        expires_at=now() + INVITATION_LIFE,
    )
    _record("invitation.made", actor, invitation)
    send_invitation.enqueue(invitation.id)
    return invitation


def _hold_members(organization_id: str) -> None:
    """Changes to the members of one organization happen one after the other."""
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)


def inviter_needs(role: Role) -> Role:
    """Only owners invite owners."""
    return Role.OWNER if role == Role.OWNER else Role.ADMIN


def _address(email: str) -> str:
    address = email.strip().lower()
    try:
        MaxLengthValidator(ADDRESS_LENGTH_MAX)(address)
        validate_email(address)
    except ValidationError as error:
        raise Refused(
            "That is no e-mail address.", {"email": f"“{address[:100]}” is no e-mail address."}
        ) from error
    return address


@task()
def send_invitation(invitation_id: str) -> None:
    """The secret is made here, so that it stands in the mail alone: the database never holds it."""
    invitation = (
        Invitation.unscoped.select_related("organization")
        .filter(pk=invitation_id, accepted_at=None, revoked_at=None, expires_at__gt=now())
        .first()
    )
    if invitation is None or not _is_still_meant(invitation):
        return
    secret = new_secret()
    invitation.secret_hash = hash_of(secret)
    invitation.save(update_fields=["secret_hash"])
    host = User.objects.filter(pk=invitation.invited_by_id).first()
    site = configuration()
    EmailMessage(
        subject=f"{host} invites you to {invitation.organization} on CryoCloud",
        body=_mail(invitation, f"{host} ({host.email})" if host else "A member", secret),
        from_email=site.mail_from,
        to=[invitation.email],
    ).send()


def _mail(invitation: Invitation, host: str, secret: str) -> str:
    site = configuration()
    return dedent(f"""\
        {host} invites you to join {invitation.organization} on CryoCloud, with the role {Role(invitation.role).label}.

        To look at the invitation, open this link. It works once, for {invitation.email} only,
        until {invitation.expires_at:%d %B %Y, %H:%M} UTC:

        {site.address}/invitations/{secret}/

        CryoCloud is a service for cryo-EM image analysis. We have your address from the person named above
        and use it for this invitation only; if you do not accept it, there is nothing to do.
        Your rights, and what we store: {site.address}/privacy/
        Questions: {site.contact_words}
        """)


def open_invitations(organization: Organization) -> QuerySet[Invitation]:
    return Invitation.unscoped.filter(
        organization=organization, accepted_at=None, revoked_at=None, expires_at__gt=now()
    ).order_by("-created_at")


def invitation_of(secret: str) -> Invitation:
    """The one that a mailed link stands for; used, ended, revoked and unknown ones are all "not found"."""
    found = (
        Invitation.unscoped.select_related("organization")
        .filter(secret_hash=hash_of(secret), accepted_at=None, revoked_at=None, expires_at__gt=now())
        .first()
    )
    if found is None or not _is_still_meant(found):
        raise NotFound
    return found


def _is_still_meant(invitation: Invitation) -> bool:
    """An invitation holds as long as its sender could send it again."""
    key = invitation.invited_by_id, invitation.organization_id
    return access.roles_of({invitation.invited_by_id}).get(key, 0) >= inviter_needs(Role(invitation.role))


@transaction.atomic
def accept_invitation(*, actor: Actor, secret: str) -> Organization:
    """Join; only the person with the invited address can, and only once."""
    if actor.token:
        raise Forbidden("A token cannot accept invitations. Log in to the pages.")
    found = invitation_of(secret)
    if found.email != actor.user.email:
        raise NotFound
    _hold_members(found.organization_id)
    if not _is_still_meant(found):
        raise NotFound
    taken = Invitation.unscoped.filter(pk=found.pk, accepted_at=None, revoked_at=None).update(
        accepted_at=now()
    )
    if not taken:
        raise NotFound
    bury(
        "invitation", found.pk
    )  # else a restored backup would open it again, for somebody removed meanwhile too
    _, joined = Membership.unscoped.get_or_create(
        organization_id=found.organization_id, user=actor.user, defaults={"role": found.role}
    )
    actor.user.current_organization_id = found.organization_id
    actor.user.wanted_organization = ""
    actor.user.save(update_fields=["current_organization_id", "wanted_organization"])
    _record("invitation.accepted", actor, found, joined=joined)
    return found.organization


@transaction.atomic
def revoke_invitation(*, actor: Actor, invitation: Invitation) -> None:
    access.require_governor(actor, invitation.organization_id)
    end_invitation(actor, invitation)


def end_invitation(actor: Actor, invitation: Invitation) -> None:
    """Whoever calls this has been through the door."""
    changed = Invitation.unscoped.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
        revoked_at=now()
    )
    if changed:
        bury("invitation", invitation.pk)
        _record("invitation.revoked", actor, invitation)


def _record(verb: str, actor: Actor, invitation: Invitation, **detail: bool) -> None:
    record_event(
        verb,
        organization_id=invitation.organization_id,
        target=invitation,
        actor_id=actor.user.id,
        via=actor.via,
        role=Role(invitation.role).label,
        **detail,
    )
