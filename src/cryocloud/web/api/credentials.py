"""Who calls the API: a token in the Authorization header, or the session of a browser (with CSRF protection)."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.security import APIKeyCookie, HttpBearer

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.credentials import TOKEN_PREFIX, actor_of_token
from cryocloud.web.accounts.guessing import count_wrong_secret, place_of
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.orders import SAFE_METHODS, count_order
from cryocloud.web.accounts.second_factor import require_factor_of_operators
from cryocloud.web.core.errors import Forbidden

__all__ = ["TOKEN_PREFIX", "SessionCredential", "TokenCredential", "actor", "actor_of_token"]


class TokenCredential(HttpBearer):
    """Wrong tokens are counted by place, so that a program gone wild costs little; right ones always pass."""

    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        found = actor_of_token(token)
        if found is None:
            count_wrong_secret("token", place_of(request))
        else:
            _count(request, found)
        return found


class SessionCredential(APIKeyCookie):
    """The log-in of the pages; ninja checks the CSRF token for it."""

    param_name = settings.SESSION_COOKIE_NAME

    def _get_key(self, request: HttpRequest) -> str | None:
        if not (isinstance(request.user, User) and request.user.is_active):
            return None
        try:
            return super()._get_key(request)
        except HttpError:
            raise Forbidden(
                "The session needs its CSRF token, as X-CSRFToken. Programs send a token instead."
            ) from None

    def authenticate(self, request: HttpRequest, key: str | None) -> Actor | None:
        if not key or not isinstance(request.user, User):
            return None
        found = Actor(request.user)
        require_factor_of_operators(found)
        _count(request, found)
        return found


def _count(request: HttpRequest, caller: Actor) -> None:
    """Files that are announced are not counted here: the plan counts them, and a folder holds thousands."""
    match = request.resolver_match
    if request.method not in SAFE_METHODS and not (match and match.route.endswith("/uploads")):
        count_order(caller)


def actor(request: HttpRequest) -> Actor:
    """The caller of an operation that is behind a credential."""
    found: Actor = request.auth  # type: ignore[attr-defined]  # set by ninja
    return found
