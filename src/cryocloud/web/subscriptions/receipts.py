"""The receipt of a withdrawal: once, with the moment at which it arrived and, where the rules grant it, a link.

It is marked before it is sent: cut off in between, it is not sent again, because SMTP cannot be asked whether it went.
"""

from __future__ import annotations

import logging
from datetime import datetime
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from urllib.parse import urlsplit

from django.core.mail import EmailMessage, get_connection

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.rate_limits import Limit, count, give_back
from cryocloud.web.core.secret_words import hash_of, new_secret
from cryocloud.web.subscriptions.letters import when
from cryocloud.web.subscriptions.models import Withdrawal

RECEIPTS_TO_ONE_ADDRESS_A_DAY = 5

_log = logging.getLogger("cryocloud.subscriptions")


def send_receipt(declared: Withdrawal, address: str, *, has_link: bool, link_until: datetime) -> None:
    """The secret is made here, so that it stands in the mail alone: the database never holds it."""
    server = get_connection()
    limit = Limit("withdrawal receipt", address.casefold(), RECEIPTS_TO_ONE_ADDRESS_A_DAY, 24 * 3600)
    secret = new_secret() if has_link else ""
    try:
        server.open()
        if count(limit) is not None or not _turn(declared, secret):
            return
        server.send_messages([_receipt(declared, address, secret, link_until)])
    except (SMTPResponseException, SMTPRecipientsRefused):
        Withdrawal.objects.filter(pk=declared.pk).update(answered_at=None)  # certainly not taken
        give_back(limit)
        raise
    except (SMTPException, OSError) as error:
        if Withdrawal.objects.filter(pk=declared.pk, answered_at=None).exists():
            raise
        _log.warning("a receipt may have been sent", extra={"problem": str(error)[:200]})
    finally:
        server.close()


def _turn(declared: Withdrawal, secret: str) -> bool:
    """Whether nobody else was quicker."""
    rows = Withdrawal.objects.filter(pk=declared.pk, answered_at=None)
    return rows.update(answered_at=now(), secret_hash=hash_of(secret) if secret else "") == 1


def _receipt(declared: Withdrawal, address: str, secret: str, link_until: datetime) -> EmailMessage:
    site = configuration()
    return EmailMessage(
        subject=f"Receipt: your withdrawal arrived on {when(declared.created_at)}",
        body=(
            f"We received this declaration on {when(declared.created_at)}:\n\n"
            f"    I withdraw from the contract of {declared.number}.\n"
            f"    {declared.name}, {declared.email}\n\n"
            f"{_what_follows(f'{site.address}/withdraw/{secret}/' if secret else '', link_until)}\n\n"
            "If you did not declare this, somebody else gave your address and this number: open no link, and tell us.\n"
            f"Questions: {site.contact_words}\n\n"
            f"Number of this receipt: {declared.pk}\n"
        ),
        from_email=site.mail_from,
        to=[address],
        headers={
            "Message-ID": f"<withdrawal-{declared.pk}@{urlsplit(site.address).hostname}>",
            "Auto-Submitted": "auto-replied",
        },
    )


def _what_follows(link: str, link_until: datetime) -> str:
    if not link:
        return (
            "A person looks at it and answers you. For all that depends on the time, the moment above counts, and not "
            "that of the answer."
        )
    return (
        "Open this link and press the button, and it is carried out at once: the contract ends, and everything that "
        f"was paid comes back the way it came. It works once, until {when(link_until)}:\n\n{link}\n\n"
        "If you leave the link, a person sees to your withdrawal. In each case the moment above counts."
    )
