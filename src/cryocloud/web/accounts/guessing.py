"""Guesses at passwords, codes and secrets: what strangers may try, and why their trying shuts nobody out.

A browser that is known to the account has counts of its own. Everybody else is counted by place (one IPv4 address or
IPv6 /64) and account, by place alone, and by account alone; the last is high, since a crowd of places can reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from cryocloud.web.accounts.known_devices import known_device
from cryocloud.web.accounts.models import User
from cryocloud.web.core.client_address import address_block
from cryocloud.web.core.errors import TooManyRequests
from cryocloud.web.core.rate_limits import Limit, count, give_back, reached

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 24 * HOUR_S


@dataclass(frozen=True)
class Kind:
    """What is guessed at, and how often: (times, seconds)."""

    name: str
    by_device: tuple[int, int]
    by_place_and_account: tuple[int, int]
    by_place: tuple[int, int]
    by_account: tuple[int, int] | None


PASSWORD = Kind("password", (10, 10 * MINUTE_S), (5, 15 * MINUTE_S), (30, 10 * MINUTE_S), (50, HOUR_S))
# A million codes, three of which hold: a hundred guesses a day find one in nine years at even odds.
APP_CODE = Kind("app code", (20, HOUR_S), (10, 15 * MINUTE_S), (30, 10 * MINUTE_S), (100, DAY_S))
# 10,000 million: no crowd finds one, so a crowd cannot shut out the person who holds one.
RECOVERY_CODE = Kind("recovery code", (20, HOUR_S), (10, 15 * MINUTE_S), (30, 10 * MINUTE_S), None)
RESET_MAIL = Kind("reset mail", (5, 10 * MINUTE_S), (5, 10 * MINUTE_S), (20, 10 * MINUTE_S), (20, HOUR_S))
# Tokens and links hold 256 random bits; these counts spare the platform work, and never refuse a right one.
WRONG_SECRETS = (60, 5 * MINUTE_S)


class Guess:
    """One attempt: counted before it is made, so that many at once are not one, and given back if it was right."""

    def __init__(self, kind: Kind, request: HttpRequest, account: str, user: User | None) -> None:
        self.device = _device(request, user)
        self._limits = _limits(kind, place_of(request), account, self.device)
        refused = count(*self._limits)
        if refused is not None:
            raise _refusal(refused)

    def was_right(self) -> None:
        give_back(*self._limits)

    @property
    def was_last(self) -> bool:
        """Whether the next one from here would be refused."""
        return reached(self._limits[0]) is not None


def place_of(request: HttpRequest) -> str:
    return address_block(request.META.get("REMOTE_ADDR", ""))


def count_wrong_secret(action: str, place: str) -> None:
    """Call it after a token or link was not found."""
    refused = count(Limit(action, place, *WRONG_SECRETS))
    if refused is not None:
        raise refused.refusal()


def _device(request: HttpRequest, user: User | None) -> str:
    """A session of the person counts as a device of theirs: it asks for the password again before large changes."""
    if user is None:
        return ""
    if request.user.is_authenticated and request.user.pk == user.pk:
        return f"session {request.session.session_key}"
    return known_device(request, user)


def _limits(kind: Kind, place: str, account: str, device: str) -> tuple[Limit, ...]:
    if device:
        limits = [Limit(f"{kind.name} by device", f"{device} {account}", *kind.by_device)]
        # Whoever reads the person's mails makes as many known devices as resets.
        if kind.by_account is not None:
            limits.append(Limit(f"{kind.name} by all devices", account, *kind.by_account))
        return tuple(limits)
    limits = [
        Limit(f"{kind.name} by place and account", f"{place} {account}", *kind.by_place_and_account),
        Limit(f"{kind.name} by place", place, *kind.by_place),
    ]
    if kind.by_account is not None:
        limits.append(Limit(f"{kind.name} by account", account, *kind.by_account))
    return tuple(limits)


def _refusal(limit: Limit) -> TooManyRequests:
    minutes = limit.window_s // MINUTE_S
    wait = f"{minutes} minutes" if minutes <= 60 else f"{minutes // 60} hours"
    return TooManyRequests(
        f"Too many attempts. To protect accounts, this is closed here for up to {wait}. A browser in which you have "
        "logged in before stays open, and a password that you reset opens this one."
    )
