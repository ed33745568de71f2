"""The sign-up form: name, address, organization, password, and nothing else."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import SignupForm
from allauth.core import context
from django import forms
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from cryocloud.web.accounts.models import User
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.plain_text import clean_name
from cryocloud.web.core.rate_limits import spend

# In the session of somebody who may sign up although sign-up is closed, with one address only:
# {"email": the address of an invitation, "joins": whether it is to an organization that exists}.
SIGN_UP_PERMIT = "sign_up_permit"


def name_for_form(text: str, field: str) -> str:
    try:
        return clean_name(text, field=field)
    except Refused as refused:
        raise forms.ValidationError(refused.fields[field]) from refused


class SignUpForm(SignupForm):  # type: ignore[misc]  # allauth publishes no types
    name = forms.CharField(
        label="Your name", max_length=120, widget=forms.TextInput({"autocomplete": "name", "autofocus": ""})
    )
    organization = forms.CharField(
        label="Organization",
        max_length=120,
        required=False,
        help_text="Lab, facility or company. Leave it empty if you work on your own.",
        widget=forms.TextInput({"autocomplete": "organization"}),
    )
    field_order = ("name", "email", "organization", "password1")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fields["email"].label = "Email"
        self.fields["password1"].help_text = "At least 10 characters. A sentence is easy to remember."
        permit = context.request.session.get(SIGN_UP_PERMIT)
        if permit:
            self.fields["email"].initial = permit["email"]
            self.fields["email"].disabled = True
            self.fields["email"].help_text = "The address that was invited."
            if permit.get("joins", True):
                del self.fields["organization"]

    def clean_name(self) -> str:
        return name_for_form(self.cleaned_data["name"], "name")

    def clean_organization(self) -> str:
        given = self.cleaned_data["organization"].strip()
        return name_for_form(given, "organization") if given else ""

    def try_save(self, request: HttpRequest) -> Any:
        # Each answer is a mail to an address that may be a stranger's.
        spend("sign-up mail", self.cleaned_data["email"].lower(), amount=5, window_s=3600)
        if self.account_already_exists:
            # A known address must not be told by a quicker answer: hashing takes most of the time.
            make_password(self.cleaned_data["password1"])
        try:
            with transaction.atomic():
                return super().try_save(request)
        except IntegrityError:
            raise Conflict(
                "An account with this address is being made at this moment. Look for the code in your mailbox."
            ) from None

    def custom_signup(self, request: HttpRequest, user: User) -> None:
        user.name = self.cleaned_data["name"]
        if "organization" in self.fields:
            user.wanted_organization = self.cleaned_data["organization"] or user.name
        user.save()
