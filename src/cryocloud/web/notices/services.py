"""Telling people and webhooks of what happened, and what people choose to hear."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q, QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Forbidden, Refused
from cryocloud.web.notices.calls import order_call
from cryocloud.web.notices.mail import tell
from cryocloud.web.notices.models import MailChoice, Notice, Occasion, ProjectChoice, Webhook
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.organizations.states import unreachable
from cryocloud.web.projects.models import Project

KINDS = (Occasion.Kind.DONE, Occasion.Kind.FAILED, Occasion.Kind.NEEDS_YOU)
MESSAGE_LENGTH = 1000


@transaction.atomic
def announce(occasion: Occasion, *, started_by_id: str) -> None:
    """Save an occasion and order all that tells of it, in the transaction that makes it happen: so it is told once."""
    occasion.message = occasion.message[:MESSAGE_LENGTH]
    occasion.save(force_insert=True)
    tell(occasion, _listeners(occasion, started_by_id))
    webhook = (
        Webhook.unscoped.select_related("organization")
        .filter(organization_id=occasion.organization_id, is_on=True)
        .first()
    )
    if webhook is not None:
        order_call(webhook, occasion)


def _listeners(occasion: Occasion, started_by_id: str) -> list[str]:
    """Who started it and who follows the project, but for those who muted it or are no members any more."""
    chosen = ProjectChoice.unscoped.filter(project_id=occasion.project_id)
    choices = dict(chosen.values_list("user_id", "choice"))
    wanted = {started_by_id} | {
        user for user, choice in choices.items() if choice == ProjectChoice.Choice.FOLLOW
    }
    wanted -= {user for user, choice in choices.items() if choice == ProjectChoice.Choice.MUTE}
    roles = access.roles_of(wanted)
    return sorted(user for user in wanted if (user, occasion.organization_id) in roles)


def notices_of(actor: Actor) -> QuerySet[Notice]:
    """The actor's own, of the organizations that they still belong to; none of what lies in the trash.

    Of an organization that is closed only letters are left.
    """
    mine = access.visible(actor, Notice, access.Purpose.GOVERN)
    own = mine.filter(user=actor.user, occasion__deletion_id="").exclude(
        ~Q(occasion__kind=Occasion.Kind.LETTER) & unreachable(now(), "organization__")
    )
    return own.select_related("occasion__project", "organization").order_by("-created_at", "-pk")


def unread_count(actor: Actor) -> int:
    return notices_of(actor).filter(read_at=None).count()


def read_notices(*, actor: Actor, notice_id: str = "", subject_id: str = "") -> int:
    """Mark as read: one notice, those about one thing, or all; how many were unread."""
    _require_writing(actor)
    own = notices_of(actor).filter(read_at=None)
    if notice_id:
        own = own.filter(pk=notice_id)
    if subject_id:
        own = own.filter(occasion__subject_id=subject_id)
    ids = list(own.values_list("pk", flat=True))
    return Notice.unscoped.filter(pk__in=ids).update(read_at=now()) if ids else 0


def mail_choice(actor: Actor) -> MailChoice:
    return MailChoice.objects.filter(user=actor.user).first() or MailChoice(user=actor.user)


@transaction.atomic
def choose_mails(*, actor: Actor, done: bool, failed: bool, needs_you: bool) -> MailChoice:
    _require_writing(actor)
    wanted = {"done": done, "failed": failed, "needs_you": needs_you}
    chosen, _ = MailChoice.objects.update_or_create(user=actor.user, defaults=wanted)
    record_event(
        "person.mails_chosen",
        organization_id="",
        target=actor.user,
        actor_id=actor.user.pk,
        via=actor.via,
        **wanted,
    )
    return chosen


def project_choice(actor: Actor, project: Project) -> str:
    """“follow”, “mute”, or “own” where nothing was chosen."""
    found = access.visible(actor, ProjectChoice).filter(project=project, user=actor.user).first()
    return found.choice if found else "own"


@transaction.atomic
def choose_for_project(*, actor: Actor, project: Project, choice: str) -> None:
    access.require_role(actor, project.organization_id, Role.VIEWER)
    _require_writing(actor)
    if choice not in {*ProjectChoice.Choice.values, "own"}:
        raise Refused("Unknown choice.", {"choice": f"“{choice[:20]}” is none of: own, follow, mute."})
    made = ProjectChoice.unscoped.filter(project=project, user=actor.user)
    if choice == "own":
        made.delete()
    else:
        ProjectChoice.unscoped.update_or_create(
            project=project,
            user=actor.user,
            defaults={"choice": choice, "organization_id": project.organization_id},
        )
    record_event(
        "project.notices_chosen",
        organization_id=project.organization_id,
        target=project,
        actor_id=actor.user.pk,
        via=actor.via,
        choice=choice,
    )


def _require_writing(actor: Actor) -> None:
    """What is one's own needs no role, but a token that may only read changes nothing."""
    if actor.token and actor.token.scope == ApiToken.Scope.READ:
        raise Forbidden("This token may only read. Make one with the scope “write”.")
