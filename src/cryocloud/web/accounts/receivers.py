"""What happens to accounts, written to the audit log."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account import signals as account_signals
from allauth.mfa import signals as factor_signals
from allauth.mfa.models import Authenticator
from django.dispatch import receiver

from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.services import follow_password
from cryocloud.web.audit.services import record_event

_log = logging.getLogger("cryocloud.accounts")
_FACTOR_VERBS = {
    factor_signals.authenticator_added: "second_factor.added",
    factor_signals.authenticator_removed: "second_factor.removed",
    factor_signals.authenticator_reset: "second_factor.replaced",
}


@receiver(account_signals.user_signed_up)
def record_sign_up(user: User, **_: Any) -> None:
    _record("person.signed_up", user)


@receiver([account_signals.password_changed, account_signals.password_set, account_signals.password_reset])
def record_password(signal: Any, user: User, **_: Any) -> None:
    follow_password(user=user, is_reset=signal is account_signals.password_reset)


@receiver(account_signals.email_changed)
def record_address(user: User, **_: Any) -> None:
    _record("person.address_changed", user)


@receiver(list(_FACTOR_VERBS))
def record_factor(signal: Any, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(_FACTOR_VERBS[signal], user, factor=str(authenticator.type))


def record_lockout(user: User | None) -> None:
    """Too many wrong passwords from one place; the attempts after it are refused and not reported."""
    if user is None:
        _log.warning("log-in locked for an unknown address")
    else:
        _record("person.locked_out", user, by="")


def _record(verb: str, user: User, *, by: str | None = None, **detail: str) -> None:
    record_event(
        verb,
        organization_id="",
        target=user,
        actor_id=user.id if by is None else by,
        via="session" if by is None else "platform",
        **detail,
    )
