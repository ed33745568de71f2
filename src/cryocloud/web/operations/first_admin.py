"""The one-time link with which whoever started the platform makes the first operator account."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.services import record_event
from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import NotFound, Refused
from cryocloud.web.core.leases import wait_in_line
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.organizations.models import Membership, Organization, Role

NAME_LENGTH = 120
LINE = "first-operator"


def _hash_file() -> Path:
    return configuration().home / "first-admin-link"


def offer_first_link() -> str:
    """The path of a new link, which replaces the one of the last start; empty once there is an operator."""
    kept = _hash_file()
    if User.objects.filter(is_operator=True).exists():
        kept.unlink(missing_ok=True)
        return ""
    secret = new_secret()
    fresh = kept.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(hash_of(secret))
    fresh.replace(kept)
    return f"/first-admin/{secret}/"


def check_first_link(secret: str) -> None:
    """``NotFound`` unless this is the link that is still open."""
    try:
        kept = _hash_file().read_text(encoding="ascii")
    except FileNotFoundError:
        raise NotFound from None
    if not hmac.compare_digest(kept, hash_of(secret)) or User.objects.filter(is_operator=True).exists():
        raise NotFound


def create_first_operator(
    *, secret: str, name: str, email: str, password: str, organization_name: str
) -> User:
    """The operator, owner of the first organization. The link is used up."""
    texts = {"name": name.strip(), "email": email.strip().lower(), "organization": organization_name.strip()}
    with transaction.atomic():
        wait_in_line(LINE)
        check_first_link(secret)
        _check(texts, password)
        user = User.objects.create_user(texts["email"], password, name=texts["name"], is_operator=True)
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        organization = Organization.objects.create(name=texts["organization"], state=_state_of_first())
        Membership.unscoped.create(organization=organization, user=user, role=Role.OWNER)
        record_event(
            "operator.created",
            organization_id=organization.id,
            target=user,
            actor_id=user.id,
            via="first link",
        )
    _hash_file().unlink(missing_ok=True)
    return user


def _state_of_first() -> str:
    """Who runs the platform needs no trial of it, unless the settings say otherwise."""
    on_trial = configuration().trials == "all"
    return Organization.State.TRIAL if on_trial else Organization.State.ACTIVE


def _check(texts: dict[str, str], password: str) -> None:
    fields = {field: "Fill this in." for field, text in texts.items() if not text}
    fields |= {
        field: f"At most {NAME_LENGTH} characters."
        for field, text in texts.items()
        if len(text) > NAME_LENGTH
    }
    try:
        validate_email(texts["email"])
    except ValidationError:
        fields.setdefault("email", "This is not an e-mail address.")
    if User.objects.filter(email=texts["email"]).exists():
        fields["email"] = "There is an account with this address; use another one."
    try:
        validate_password(password, User(email=texts["email"], name=texts["name"]))
    except ValidationError as error:
        fields["password"] = " ".join(error.messages)
    if fields:
        raise Refused("Some values cannot be used.", fields)
