"""Who calls the API: a token in the Authorization header, or the session of a browser (with CSRF protection)."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.core.clock import now
from cryocloud.web.core.secret_words import hash_of

TOKEN_PREFIX = "cryo_"
_SEEN_EVERY = timedelta(minutes=1)


def actor_of_token(secret: str) -> Actor | None:
    """The owner of a token that is neither expired nor revoked."""
    if not secret.startswith(TOKEN_PREFIX):
        return None
    moment = now()
    token = (
        ApiToken.objects.select_related("user")
        .filter(secret_hash=hash_of(secret), expires_at__gt=moment, revoked_at=None, user__is_active=True)
        .first()
    )
    if token is None:
        return None
    stale = Q(last_used_at=None) | Q(last_used_at__lt=moment - _SEEN_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=moment)
    return Actor(token.user, token)


class TokenCredential(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        return actor_of_token(token)


class SessionCredential(APIKeyCookie):
    """The log-in of the pages; ninja checks the CSRF token for it."""

    param_name = settings.SESSION_COOKIE_NAME

    def authenticate(self, request: HttpRequest, key: str | None) -> Actor | None:
        return Actor(request.user) if isinstance(request.user, User) and request.user.is_active else None


def actor(request: HttpRequest) -> Actor:
    """The caller of an operation that is behind a credential."""
    found: Actor = request.auth  # type: ignore[attr-defined]  # set by ninja
    return found
