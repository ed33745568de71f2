"""Whose credential this is: the one look-up for the API, for uploads, for event streams and for all that lasts long."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models import Q, QuerySet
from django.http import HttpRequest, parse_cookie
from django.utils.crypto import constant_time_compare

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.accounts.second_factor import require_factor_of_operators
from cryocloud.web.core.clock import now
from cryocloud.web.core.secret_words import hash_of

TOKEN_PREFIX = "cryo_"
_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Credential:
    """What somebody came with: a token, of which the hash is enough, or the key of a browser's session."""

    token_hash: str = ""
    session_key: str = ""

    @classmethod
    def of_headers(cls, authorization: str, cookies: str) -> Credential:
        """The header counts before the cookie; any scheme but “Bearer” stands for nobody."""
        scheme, _, secret = authorization.partition(" ")
        if scheme:
            return cls(token_hash=hash_of(secret.strip() if scheme.lower() == "bearer" else ""))
        return cls(session_key=parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME, ""))

    @classmethod
    def of_request(cls, request: HttpRequest, actor: Actor) -> Credential:
        """The one with which an actor came through Django."""
        if actor.token:
            return cls(token_hash=actor.token.secret_hash)
        return cls(session_key=request.session.session_key or "")

    def actor(self) -> Actor | None:
        """The person behind it, as of now."""
        found = actors_of([self]).get(self)
        if found is None:
            return None
        require_factor_of_operators(found)
        if found.token is not None:
            _note_use(found.token)
        return found


def actor_of_token(secret: str) -> Actor | None:
    """The owner of a token that is neither expired nor revoked."""
    return Credential(token_hash=hash_of(secret)).actor() if secret.startswith(TOKEN_PREFIX) else None


def actors_of(credentials: Collection[Credential]) -> dict[Credential, Actor]:
    """Those of many credentials that are in force now, in three queries."""
    hashes = [one.token_hash for one in credentials if one.token_hash]
    actors = {
        Credential(token_hash=token.secret_hash): Actor(token.user, token)
        for token in (_tokens_in_force().filter(secret_hash__in=hashes) if hashes else ())
    }
    keys = [one.session_key for one in credentials if one.session_key]
    return actors | (dict(_actors_of_sessions(keys)) if keys else {})


def _tokens_in_force() -> QuerySet[ApiToken]:
    return ApiToken.objects.select_related("user").filter(
        expires_at__gt=now(), revoked_at=None, user__is_active=True
    )


def _actors_of_sessions(keys: Collection[str]) -> Iterator[tuple[Credential, Actor]]:
    """A session counts as long as the password is the one with which it began, as Django has it."""
    kept = Session.objects.filter(session_key__in=keys, expire_date__gt=now())
    contents = {session.session_key: session.get_decoded() for session in kept}
    people = User.objects.filter(is_active=True).in_bulk(
        {content[SESSION_KEY] for content in contents.values() if SESSION_KEY in content}
    )
    for key, content in contents.items():
        person = people.get(content.get(SESSION_KEY, ""))
        if person is None:
            continue
        if constant_time_compare(content.get(HASH_SESSION_KEY, ""), person.get_session_auth_hash()):
            yield Credential(session_key=key), Actor(person)


def _note_use(token: ApiToken) -> None:
    moment = now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=moment - _SEEN_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=moment)
