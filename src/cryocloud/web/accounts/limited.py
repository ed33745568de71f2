"""allauth's forms that send a mail or read a code, with the platform's own counts."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import ResetPasswordForm
from allauth.core import context
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm

from cryocloud.web.accounts.guessing import APP_CODE, RECOVERY_CODE, RESET_MAIL, Guess
from cryocloud.web.accounts.models import User
from cryocloud.web.core.rate_limits import Limit, count

APP_CODE_LENGTH = 6
# A code holds in its half minute and the two beside it.
APP_CODE_LIFE_S = 120


class ResetForm(ResetPasswordForm):  # type: ignore[misc]  # allauth publishes no types
    def clean_email(self) -> str:
        email = str(super().clean_email())
        account = email.strip().lower()
        Guess(RESET_MAIL, context.request, account, User.objects.filter(email=account).first())
        return email


class _CountedCode:
    """A code counts as a guess at its own kind, so that guesses at one kind never close the other."""

    user: User
    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        given = normalize_user_code(self.cleaned_data["code"])
        kind = APP_CODE if len(given) <= APP_CODE_LENGTH else RECOVERY_CODE
        guess = Guess(kind, context.request, self.user.pk, self.user)
        code = str(super().clean_code())  # type: ignore[misc]  # of allauth's form
        # allauth remembers a used code for 30 s, in which it may still hold for a minute more.
        if count(Limit("used code", f"{self.user.pk} {given}", 1, APP_CODE_LIFE_S)) is not None:
            raise get_adapter().validation_error("incorrect_code")
        guess.was_right()
        return code


class SecondFactorForm(_CountedCode, AuthenticateForm):  # type: ignore[misc]  # allauth publishes no types
    pass


class ReauthenticationForm(_CountedCode, ReauthenticateForm):  # type: ignore[misc]  # allauth publishes no types
    pass
