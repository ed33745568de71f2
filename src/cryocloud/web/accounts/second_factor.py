"""Who must have a second factor, and what they may do without one."""

from __future__ import annotations

from collections.abc import Callable

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.core.errors import Forbidden

SET_UP = "/accounts/2fa/"
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
# Without one an operator sets one up, leaves, or reads what is done with their data. The API looks by itself.
_OPEN_TO_OPERATORS = (
    SET_UP, "/accounts/reauthenticate/", "/accounts/logout/", "/privacy/", "/cookies/", "/health/", "/api/",
)  # fmt: skip


class SecondFactorNeeded(Forbidden):
    """The person has none yet."""

    remedy = SET_UP

    def __init__(self, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs a second factor. Set one up in your settings: an authenticator app or a passkey, "
            "in about a minute; then do this again."
        )


def has_second_factor(person: User) -> bool:
    return bool(Authenticator.objects.filter(user=person, type__in=FACTORS).exists())


def require_second_factor(actor: Actor, purpose: str) -> None:
    """For what would harm an organization in the wrong hands; ``purpose`` begins the message."""
    if not has_second_factor(actor.user):
        raise SecondFactorNeeded(purpose)


def require_factor_of_operators(actor: Actor) -> None:
    """Operators reach every organization's fate: without a second factor their credentials open nothing."""
    if actor.user.is_operator:
        require_second_factor(actor, "The account of an operator")


def operators_set_up_first(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: an operator without a second factor is led to its page from wherever they go."""

    def handle(request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and not request.path.startswith(
            _OPEN_TO_OPERATORS
        ):
            person = request.user
            if isinstance(person, User) and person.is_operator and not has_second_factor(person):
                return redirect("mfa_activate_totp")
        return get_response(request)

    return handle
