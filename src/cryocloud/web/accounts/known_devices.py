"""Browsers in which somebody has logged in to an account before: strangers who guess do not slow them down.

Nothing is stored here. The browser holds a signed cookie with a random number for itself and a mark for each account;
the mark is made from the stored password, so that a new password makes strangers of all devices but the present one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account import signals as account_signals
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core import signing
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from cryocloud.web.accounts.models import User
from cryocloud.web.core.ids import new_id

ACCOUNTS_MAX = 8
_SALT = "cryocloud.known-device"


def known_device(request: HttpRequest, user: User) -> str:
    """The number of this browser if the person has logged in with it, else ""."""
    device = _read(request)
    is_known = constant_time_compare(device["of"].get(user.pk, ""), _mark(user))
    return str(device["id"]) if is_known else ""


def remember_devices(get_response: Callable[[HttpRequest], HttpResponse]) -> object:
    """Middleware: sets the cookie in the answer to a log-in, and to whatever else proves who somebody is."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        user = getattr(request, "person_of_device", None)
        if user is not None:
            device = _read(request)
            marks = {key: mark for key, mark in device["of"].items() if key != user.pk} | {
                user.pk: _mark(user)
            }
            device["of"] = dict(list(marks.items())[-ACCOUNTS_MAX:])
            response.set_cookie(
                settings.DEVICE_COOKIE_NAME,
                signing.dumps(device, salt=_SALT),
                max_age=settings.DEVICE_COOKIE_AGE,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

    return handle


@receiver(
    [
        user_logged_in,
        account_signals.password_changed,
        account_signals.password_set,
        account_signals.password_reset,
    ]
)
def note_person(request: HttpRequest, user: User, **_: Any) -> None:
    request.person_of_device = user  # type: ignore[attr-defined]  # read by the middleware above


def _read(request: HttpRequest) -> dict[str, Any]:
    try:
        read = signing.loads(
            request.COOKIES.get(settings.DEVICE_COOKIE_NAME, ""),
            salt=_SALT,
            max_age=settings.DEVICE_COOKIE_AGE,
        )
    except signing.BadSignature:
        return {"id": new_id(), "of": {}}
    return dict(read)


def _mark(user: User) -> str:
    return salted_hmac(_SALT, f"{user.pk}:{user.password}", algorithm="sha256").hexdigest()[:32]
