"""Every cookie that the platform may set, and why. The page about cookies is made from this list."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_log = logging.getLogger("cryocloud.cookies")


@dataclass(frozen=True)
class Cookie:
    name: str
    purpose: str
    life: str
    why_necessary: str


def inventory() -> tuple[Cookie, ...]:
    return (
        Cookie(
            settings.SESSION_COOKIE_NAME,
            "Holds a random number by which we recognize your browser after you have logged in or begun to sign up.",
            f"{settings.SESSION_COOKIE_AGE // 86400} days, or until you log out",
            "Without it you would have to log in again on each page.",
        ),
        Cookie(
            settings.DEVICE_COOKIE_NAME,
            "Holds a random number by which we know that you have logged in with this browser before.",
            f"{settings.DEVICE_COOKIE_AGE // 86400} days, or until the password changes",
            "Without it a stranger who guesses at your password could keep you from logging in.",
        ),
        Cookie(
            settings.CSRF_COOKIE_NAME,
            "Holds a random number that each form sends back.",
            "1 year",
            "It proves that a form was filled in here, and not sent in your name by another site.",
        ),
    )


def only_known_cookies(get_response: Callable[[HttpRequest], HttpResponse]) -> object:
    """A cookie that is not in the inventory never leaves the server, whichever library wants to set it."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        known = {cookie.name for cookie in inventory()}
        for name in set(response.cookies) - known:
            _log.error("unknown cookie held back", extra={"cookie": name})
            del response.cookies[name]
        return response

    return handle
