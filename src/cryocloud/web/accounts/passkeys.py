"""Forms for passkeys that answer a malformed credential instead of failing over it."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django import forms
from fido2.webauthn import AuthenticationResponse, RegistrationResponse

CREDENTIAL_LENGTH_MAX = 20_000


class PasskeyField(forms.JSONField):
    """What a browser sends for a passkey; it is read once here, because the reader trips over missing parts."""

    def __init__(self, reader: type[AuthenticationResponse] | type[RegistrationResponse]) -> None:
        super().__init__(required=True, widget=forms.HiddenInput)
        self.reader = reader

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > CREDENTIAL_LENGTH_MAX:
            raise get_adapter().validation_error("incorrect_code")
        try:
            parsed = super().to_python(value)
            if parsed is not None:
                self.reader.from_dict(parsed)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            raise get_adapter().validation_error("incorrect_code") from error
        return parsed


class LogInForm(LoginWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    credential = PasskeyField(AuthenticationResponse)


class SecondFactorForm(AuthenticateWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    credential = PasskeyField(AuthenticationResponse)


class ReauthenticationForm(ReauthenticateWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    credential = PasskeyField(AuthenticationResponse)


class AddForm(AddWebAuthnForm):  # type: ignore[misc]  # allauth publishes no types
    credential = PasskeyField(RegistrationResponse)
    passwordless = forms.BooleanField(
        label="Use it instead of the password",
        required=False,
        help_text="A passkey: it asks for your finger, face or PIN. Otherwise it comes beside the password.",
    )
