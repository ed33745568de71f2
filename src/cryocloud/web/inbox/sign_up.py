"""Accounts offered by mail, also where sign-up is closed: a single-use secret, bound to one address, for a week."""

from __future__ import annotations

from datetime import timedelta
from textwrap import dedent

from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import QuerySet
from django_tasks import task

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.audit.services import record_event
from cryocloud.web.audit.tombstones import bury
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.inbox.models import SignUpInvitation

INVITATION_LIFE = timedelta(days=7)


@transaction.atomic
def offer_account(*, actor: Actor, email: str) -> SignUpInvitation:
    """An earlier offer to the same address ends; whoever calls this has checked that the actor may."""
    for former in _open_for(email):
        former.revoked_at = now()
        _end(former)
    offered = SignUpInvitation.objects.create(
        email=email,
        secret_hash=hash_of(new_secret()),
        invited_by_id=actor.user.pk,
        expires_at=now() + INVITATION_LIFE,
    )
    _record("sign_up_invitation.made", offered, actor_id=actor.user.pk, via=actor.via)
    send_sign_up_invitation.enqueue(offered.pk)
    return offered


def sign_up_invitation_of(secret: str) -> SignUpInvitation:
    """The one that a mailed link stands for; used, ended, expired and unknown ones are all "not found"."""
    found = _open().filter(secret_hash=hash_of(secret)).first()
    if found is None or not _is_still_meant(found):
        raise NotFound
    return found


@transaction.atomic
def use_up_invitations(person: User) -> None:
    """The invited address has an account, however it came to it: links to it lead nowhere any more."""
    for used in _open_for(person.email):
        used.accepted_at = now()
        _end(used)
        _record("sign_up_invitation.accepted", used, actor_id=person.pk, via="session")


def _open_for(email: str) -> list[SignUpInvitation]:
    return list(_open().select_for_update(no_key=True).filter(email=email))


def _open() -> QuerySet[SignUpInvitation]:
    return SignUpInvitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=now())


def _end(invitation: SignUpInvitation) -> None:
    invitation.save(update_fields=["accepted_at", "revoked_at"])
    bury("sign-up invitation", invitation.pk)


def _is_still_meant(invitation: SignUpInvitation) -> bool:
    """It holds as long as its sender could send it again."""
    return User.objects.filter(pk=invitation.invited_by_id, is_active=True, is_operator=True).exists()


def _record(verb: str, target: SignUpInvitation, *, actor_id: str, via: str) -> None:
    record_event(verb, organization_id="", target=target, actor_id=actor_id, via=via)


@task()
def send_sign_up_invitation(invitation_id: str) -> None:
    """The secret is made here, so that it stands in the mail alone: the database never holds it."""
    invitation = _open().filter(pk=invitation_id).first()
    host = invitation and User.objects.filter(pk=invitation.invited_by_id).first()
    if not invitation or not host or not _is_still_meant(invitation):
        return
    secret = new_secret()
    invitation.secret_hash = hash_of(secret)
    invitation.save(update_fields=["secret_hash"])
    EmailMessage(
        subject=f"{host} invites you to CryoCloud",
        body=_words(invitation, host, secret),
        from_email=configuration().mail_from,
        to=[invitation.email],
    ).send()


def _words(invitation: SignUpInvitation, host: User, secret: str) -> str:
    site = configuration()
    return dedent(f"""\
        {host} ({host.email}) invites you to CryoCloud, a service for cryo-EM image analysis that is run by
        {site.controller or "the person named above"}. You asked for it by mail.

        To make your account, open this link. It works once, for {invitation.email} only,
        until {invitation.expires_at:%d %B %Y, %H:%M} UTC:

        {site.address}/welcome/{secret}/

        We have your address from your mail and use it for this invitation and to answer you; if you do not want an
        account any more, there is nothing to do.
        Your rights, and what we store: {site.address}/privacy/
        Questions: {site.contact_words}
        """)
