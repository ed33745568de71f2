"""The form for another password, which also asks about what was made under the old one."""

from __future__ import annotations

from allauth.account.forms import ChangePasswordForm
from django import forms

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.services import end_tokens, usable_tokens


class PasswordForm(ChangePasswordForm):  # type: ignore[misc]  # allauth publishes no types
    end_tokens = forms.BooleanField(
        label="Also revoke my API tokens",
        required=False,
        help_text="Do so if somebody may have known the old password: programs then need new tokens.",
    )

    def save(self) -> None:
        super().save()
        if self.cleaned_data["end_tokens"]:
            end_tokens(actor=Actor(self.user), tokens=usable_tokens(self.user), reason="password change")
