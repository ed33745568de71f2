"""Who calls the API: a token in the Authorization header, or the session of a browser (with CSRF protection)."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.credentials import TOKEN_PREFIX, actor_of_token
from cryocloud.web.accounts.models import User

__all__ = ["TOKEN_PREFIX", "SessionCredential", "TokenCredential", "actor", "actor_of_token"]


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
