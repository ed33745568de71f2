"""How allauth is bent to this platform."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.http import HttpRequest

from cryocloud.web.accounts.guessing import PASSWORD, Guess
from cryocloud.web.accounts.hashing import device_lane
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.receivers import record_lockout
from cryocloud.web.accounts.sign_up import SIGN_UP_PERMIT
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Busy, MailNotSent
from cryocloud.web.core.sealed import seal, unseal

_log = logging.getLogger("cryocloud.accounts")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth publishes no types
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return configuration().sign_up_open or SIGN_UP_PERMIT in request.session

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Each password is a guess until it proves right; one that was not looked at for lack of room was none."""
        account = str(credentials.get("email", "")).strip().lower()[:254]
        person = User.objects.filter(email=account).first()
        guess = Guess(PASSWORD, request, account, person)
        lane = device_lane.set(guess.device)
        try:
            user: User | None = super().authenticate(request, **credentials)
        except Busy:
            guess.was_right()
            raise
        finally:
            device_lane.reset(lane)
        if user is not None:
            guess.was_right()
        elif guess.was_last:
            record_lockout(person)
        return user

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        try:
            super().send_mail(template_prefix, email, context)
        except (SMTPException, OSError) as error:
            _log.exception("mail not sent", extra={"mail": template_prefix})
            raise MailNotSent from error


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth publishes no types
    """Secrets of authenticator apps and recovery codes are stored encrypted with a key made from the platform's."""

    def encrypt(self, text: str) -> str:
        return seal("second factor", text)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal("second factor", encrypted_text)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        return {**super().get_public_key_credential_rp_entity(), "name": "CryoCloud"}
