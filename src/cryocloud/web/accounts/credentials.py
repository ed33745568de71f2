"""Whose credential this is: the one look-up for the API, for uploads and for event streams."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.db.models import Q
from django.http import HttpRequest

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


def actor_of_session(session_key: str) -> Actor | None:
    """The person who has logged in with a browser, outside of Django's own requests."""
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return Actor(user) if isinstance(user, User) and user.is_active else None
