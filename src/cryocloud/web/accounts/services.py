"""Tokens of a person, their name, and what ends with their password."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.db.models import QuerySet

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.answers import forget_answers
from cryocloud.web.accounts.credentials import TOKEN_PREFIX
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.accounts.second_factor import require_second_factor
from cryocloud.web.audit.services import record_event
from cryocloud.web.audit.tombstones import bury
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Forbidden, NotFound, Refused
from cryocloud.web.core.plain_text import clean_name
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.core.secret_words import hash_of, new_secret

TOKEN_DAYS = (7, 30, 90, 365)
TOKENS_MAX = 50


@transaction.atomic
def make_token(
    *, actor: Actor, organization_id: str, name: str, scope: str, days: int
) -> tuple[ApiToken, str]:
    """A token and its secret, which is shown once. The caller has checked that the actor is a member there."""
    if actor.token:
        raise Forbidden("A token cannot make tokens. Log in to the pages.")
    if scope not in ApiToken.Scope.values:
        raise Refused(
            "Unknown scope.", {"scope": f"“{scope}” is none of: {', '.join(ApiToken.Scope.values)}."}
        )
    if days not in TOKEN_DAYS:
        raise Refused("Unknown life.", {"days": f"{days} is none of: 7, 30, 90, 365 days."})
    if scope == ApiToken.Scope.ADMIN:
        require_second_factor(actor, "A token that governs members")
    spend("make_token", actor.user.id, amount=20, window_s=3600)
    if usable_tokens(actor.user).count() >= TOKENS_MAX:
        raise Refused(f"You have {TOKENS_MAX} tokens in force; revoke one first.")
    secret = new_secret(TOKEN_PREFIX)
    token = ApiToken.objects.create(
        user=actor.user,
        organization_id=organization_id,
        name=clean_name(name, field="name", length_max=80),
        secret_hash=hash_of(secret),
        scope=scope,
        expires_at=now() + timedelta(days=days),
    )
    record_event(
        "token.made",
        organization_id=organization_id,
        target=token,
        actor_id=actor.user.id,
        via=actor.via,
        scope=scope,
        days=days,
    )
    return token, secret


@transaction.atomic
def revoke_token(*, actor: Actor, token_id: str) -> None:
    token = usable_tokens(actor.user).filter(pk=token_id).first()
    if token is None:
        raise NotFound
    end_tokens(actor=actor, tokens=[token], reason="order")


@transaction.atomic
def end_tokens(*, actor: Actor, tokens: Iterable[ApiToken], reason: str) -> None:
    """Revoke tokens, also of somebody else whose right to them has ended."""
    for token in tokens:
        token.revoked_at = now()
        token.save(update_fields=["revoked_at"])
        bury("token", token.pk)
        record_event(
            "token.revoked",
            organization_id=token.organization_id,
            target=token,
            actor_id=actor.user.id,
            via=actor.via,
            reason=reason,
        )


def usable_tokens(user: User) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(user=user, revoked_at=None, expires_at__gt=now()).order_by("-created_at")


@transaction.atomic
def follow_password(*, user: User, is_reset: bool) -> None:
    """A password that was forgotten, or that a stranger knew, takes along whatever was made with it.

    Sessions end by themselves: each holds a hash of the password with which it began.
    """
    record_event("person.password_changed", organization_id="", target=user, actor_id=user.id, via="session")
    bury("password", user.pk)
    if is_reset:
        end_tokens(actor=Actor(user), tokens=usable_tokens(user), reason="password reset")


@transaction.atomic
def deactivate_person(*, person: User, actor: Actor | None = None, reason: str = "") -> None:
    """By an operator, or by whoever operates the machine. Sessions do not revive with the account."""
    person.is_active = False
    person.save(update_fields=["is_active"])
    get_adapter().end_sessions(UserSession.objects.filter(user=person))
    end_tokens(actor=Actor(person), tokens=usable_tokens(person), reason="account closed")
    forget_answers(person.pk)
    bury("person", person.pk)
    _record_closing("person.deactivated", person, actor, reason)


@transaction.atomic
def reactivate_person(*, person: User, actor: Actor, reason: str) -> None:
    """Password, second factor and memberships are what they were; sessions and tokens stay ended."""
    person.is_active = True
    person.save(update_fields=["is_active"])
    bury("person back", person.pk)
    _record_closing("person.reactivated", person, actor, reason)


def _record_closing(verb: str, person: User, actor: Actor | None, reason: str) -> None:
    by = {"actor_id": actor.user.pk, "via": actor.via} if actor else {}
    record_event(verb, organization_id="", target=person, **by, **({"reason": reason} if reason else {}))


@transaction.atomic
def rename_person(*, actor: Actor, name: str) -> None:
    before = actor.user.name
    actor.user.name = clean_name(name, field="name")
    actor.user.save(update_fields=["name"])
    if before != actor.user.name:
        record_event(
            "person.renamed", organization_id="", target=actor.user, actor_id=actor.user.id, via=actor.via
        )
