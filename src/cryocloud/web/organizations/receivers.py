"""What follows the confirmation of an address."""

from __future__ import annotations

from typing import Any

from allauth.account import signals
from allauth.account.models import EmailAddress
from django.db import transaction
from django.dispatch import receiver

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.organizations.services import open_organization


@receiver(signals.email_confirmed)
def make_wanted_organization(email_address: EmailAddress, **_: Any) -> None:
    """The organization named at sign-up; its trial begins with the confirmation, not with the form."""
    with transaction.atomic():
        person = User.objects.select_for_update(no_key=True).get(pk=email_address.user_id)
        wanted, person.wanted_organization = person.wanted_organization, ""
        person.save(update_fields=["wanted_organization"])
        if wanted:
            open_organization(actor=Actor(person), name=wanted)
