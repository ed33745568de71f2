"""Mails are kept before anybody is told that they were taken; what comes twice is kept once."""

from __future__ import annotations

from datetime import date, datetime
from email.utils import parseaddr

from django.db import IntegrityError, transaction

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.days import day_of
from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.rate_limits import spend
from cryocloud.web.inbox.boxes import Box
from cryocloud.web.inbox.models import Mail, Thread
from cryocloud.web.inbox.reading import Letter, read_letter

MAILS_OF_ONE_SENDER_AN_HOUR = 20
MAILS_AN_HOUR = 2_000
KEPT_YEARS = 3


def keep_mail(content: bytes, *, box: Box, envelope_sender: str, recipient: str) -> Mail:
    """The mail, new or kept before. ``Unreadable`` and ``TooManyRequests`` are for the sender's server."""
    site = configuration()
    own = (parseaddr(site.mail_from)[1].lower(), site.contact.lower())
    letter = read_letter(content, envelope_sender=envelope_sender, own_addresses=own)
    fingerprint = letter.fingerprint(box.kind)
    known = Mail.objects.filter(fingerprint=fingerprint).first()
    if known is not None:
        return known
    try:
        return _keep(letter, fingerprint, box, recipient)
    except IntegrityError:
        return Mail.objects.get(fingerprint=fingerprint)  # another delivery of it was quicker


@transaction.atomic
def _keep(letter: Letter, fingerprint: str, box: Box, recipient: str) -> Mail:
    spend("mail of a sender", letter.sender, amount=MAILS_OF_ONE_SENDER_AN_HOUR, window_s=3600)
    spend("mail of anybody", "", amount=MAILS_AN_HOUR, window_s=3600)
    thread = _answered(letter, box) or Thread.objects.create(
        kind=box.kind, sender=letter.sender, subject=letter.subject
    )
    mail = Mail.objects.create(
        thread=thread,
        fingerprint=fingerprint,
        message_id=letter.message_id,
        sender=letter.sender,
        sender_name=letter.sender_name,
        recipient=recipient[:254],
        subject=letter.subject,
        text=letter.text,
        attachments=letter.attachments,
        is_automatic=letter.is_automatic,
        notes=list(letter.notes),
    )
    box.receive(mail)
    return mail


def _answered(letter: Letter, box: Box) -> Thread | None:
    """The thread of a mail, or of our acknowledgement, that this one answers; strangers cannot join it."""
    known = Thread.objects.filter(kind=box.kind, sender=letter.sender).exclude(sender="")
    ours = [one[1:].partition("@")[0] for one in letter.answers]
    return (
        known.filter(pk__in=[one for one in ours if len(one) == ID_LENGTH]).first()
        or known.filter(mails__message_id__in=letter.answers).order_by("-created_at").first()
    )


def close_thread(thread: Thread) -> None:
    """From now on the words are kept for three years; a later mail may open it again."""
    thread.closed_at = now()
    thread.keep_until = last_day_kept(thread.closed_at)
    thread.save(update_fields=["closed_at", "keep_until"])


def open_thread(thread: Thread) -> None:
    thread.closed_at = thread.keep_until = None
    thread.save(update_fields=["closed_at", "keep_until"])


def last_day_kept(closed_at: datetime) -> date:
    """By the calendar of Amsterdam, where the service is at home; the year after a leap year has no 29 February."""
    day = day_of(closed_at)
    if (day.month, day.day) == (2, 29):
        day = day.replace(day=28)
    return day.replace(year=day.year + KEPT_YEARS)
