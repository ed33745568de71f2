"""What follows the confirmation of an address."""

from __future__ import annotations

from typing import Any

from allauth.account import signals
from allauth.account.models import EmailAddress
from django.dispatch import receiver

from cryocloud.web.inbox.sign_up import use_up_invitations


@receiver(signals.email_confirmed)
def use_up_invitations_of(email_address: EmailAddress, **_: Any) -> None:
    use_up_invitations(email_address.user)
