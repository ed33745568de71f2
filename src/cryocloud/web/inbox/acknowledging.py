"""The answer that a mail has arrived: once a thread, never to programs, and seldom to one address.

It is marked before it is sent: cut off in between, it is not sent again, because SMTP cannot be asked whether it went.
"""

from __future__ import annotations

import logging
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from textwrap import dedent
from urllib.parse import urlsplit

from django.core.mail import EmailMessage, get_connection
from django_tasks import task

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.rate_limits import Limit, count, give_back
from cryocloud.web.core.tasks import MAILING
from cryocloud.web.inbox.models import Mail, Thread

ANSWERS_TO_ONE_ADDRESS_A_DAY = 3

_log = logging.getLogger("cryocloud.inbox")


@task(priority=MAILING)
def acknowledge(thread_id: str) -> None:
    thread = Thread.objects.filter(pk=thread_id, acknowledged_at=None).exclude(sender="").first()
    first = thread and thread.mails.order_by("created_at").first()
    if not thread or not first:
        return
    server, limit = get_connection(), _limit(thread.sender)
    try:
        server.open()
        if count(limit) is not None or not _turn(thread, begun=True):
            return
        server.send_messages([_answer(thread, first)])
    except (SMTPResponseException, SMTPRecipientsRefused):
        _turn(thread, begun=False)  # certainly not taken
        give_back(limit)
        raise
    except (SMTPException, OSError) as error:
        if Thread.objects.filter(pk=thread.pk, acknowledged_at=None).exists():
            raise
        _log.warning("an acknowledgement may have been sent", extra={"problem": str(error)[:200]})
    finally:
        server.close()


def hold_back_acknowledgements() -> None:
    """After a restore: what waited when the backup was made may have gone out since."""
    Thread.objects.filter(acknowledged_at=None).update(acknowledged_at=now())


def _limit(address: str) -> Limit:
    return Limit("acknowledgement", address, ANSWERS_TO_ONE_ADDRESS_A_DAY, 24 * 3600)


def _turn(thread: Thread, *, begun: bool) -> bool:
    """Whether it was not so before, and nobody else was quicker."""
    rows = Thread.objects.filter(pk=thread.pk, acknowledged_at__isnull=begun)
    return rows.update(acknowledged_at=now() if begun else None) == 1


def _answer(thread: Thread, first: Mail) -> EmailMessage:
    site = configuration()
    headers = {
        "Message-ID": f"<{thread.pk}@{urlsplit(site.address).hostname}>",
        "Auto-Submitted": "auto-replied",
    }
    if first.message_id:
        headers |= {"In-Reply-To": first.message_id, "References": first.message_id}
    return EmailMessage(
        subject=f"Re: {thread.subject}" if thread.subject else "Your mail",
        body=dedent(f"""\
            Your mail has arrived, and somebody will read it and answer you.

            If you asked to use CryoCloud, the answer is an invitation to this address, or a few words why not.
            We keep what you wrote and your address for this purpose, and 36 months after it is settled at most.
            Your rights, and what we store: {site.address}/privacy/

            This answer was written by a program, once for your question.
            """),
        from_email=site.mail_from,
        to=[thread.sender],
        reply_to=[site.contact],
        headers=headers,
    )
