"""Notices of an occasion, and their mails. A mail is marked before it is sent: it goes out once, or not at all.

Kill the worker at any moment: a mail that was not begun is sent later, one that was sent stays so, and one that was cut
off between is ``unsure`` and not sent again; SMTP has no way to ask. Its notice is on the pages in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from smtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from textwrap import dedent
from urllib.parse import urlsplit

from allauth.account.models import EmailAddress
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django_tasks import task

from cryocloud.web.accounts.models import User
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.tasks import MAILING
from cryocloud.web.notices.models import MailChoice, Notice, Occasion, ProjectChoice
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role

# Waits between two tries; then the mail is given up, 22 hours after the first. Older news than the life is not sent.
# Letters are tried for as long as they live.
LIFE = timedelta(days=2)
LETTER_LIFE = timedelta(days=21)
PAUSES_S = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
SETTINGS = "/settings/notices/"
Attachment = tuple[str, bytes, str]
"""Name of the file, its bytes, and their media type."""
_Mail = Notice.Mail
_NEEDS = {Occasion.Subject.WEBHOOK: Role.ADMIN, Occasion.Subject.ORGANIZATION: Role.OWNER}
_log = logging.getLogger("cryocloud.notices")


_attachments: list[Callable[[Occasion], list[Attachment]]] = []


def register_attachments(find: Callable[[Occasion], list[Attachment]]) -> None:
    """``find(occasion)`` gives what is attached to the mails of a letter."""
    _attachments.append(find)


def tell(occasion: Occasion, user_ids: Iterable[str]) -> None:
    """Make the notices and order their mails, in the transaction of what they tell."""
    for user_id in user_ids:
        notice = Notice.unscoped.create(
            organization_id=occasion.organization_id, occasion=occasion, user_id=user_id
        )
        mail_notice.enqueue(notice.pk, organization_id=notice.organization_id)


def write(occasion: Occasion, address: str) -> None:
    """Order a mail of a letter to somebody who is no member, in the transaction of what it tells."""
    notice = Notice.unscoped.create(
        organization_id=occasion.organization_id, occasion=occasion, email=address
    )
    mail_notice.enqueue(notice.pk, organization_id=notice.organization_id)


def hold_back_mails() -> None:
    """After a restore: what waited when the backup was made may have gone out since."""
    Notice.unscoped.filter(mail__in=(_Mail.WAITING, _Mail.SENDING)).update(mail=_Mail.UNSURE)


@task(priority=MAILING)
def mail_notice(notice_id: str, *, organization_id: str) -> None:
    notice = (
        Notice.unscoped.select_related("occasion__project", "organization", "user")
        .filter(pk=notice_id, organization_id=organization_id)
        .first()
    )
    if notice is None:
        return
    if notice.mail == _Mail.SENDING:
        _log.warning("a mail was cut off; it may have been sent", extra={"notice_id": notice.pk})
        _turn(notice, _Mail.SENDING, _Mail.UNSURE)
    elif notice.mail == _Mail.WAITING and now() - notice.created_at > _life(notice):
        _turn(notice, _Mail.WAITING, _Mail.GIVEN_UP)
    elif notice.mail == _Mail.WAITING:
        address = _address(notice)
        if address:
            _send(notice, address)
        else:
            _turn(notice, _Mail.WAITING, _Mail.UNWANTED)


def _life(notice: Notice) -> timedelta:
    return LETTER_LIFE if notice.occasion.kind == Occasion.Kind.LETTER else LIFE


def _address(notice: Notice) -> str:
    """Where the mail may go at this moment; empty if the person lost access, does not want it or has no address."""
    occasion, person = notice.occasion, notice.user
    if person is None:
        return notice.email
    if occasion.deletion_id:
        return ""
    needs = _NEEDS.get(Occasion.Subject(occasion.subject), Role.VIEWER)
    if access.roles_of({person.pk}).get((person.pk, notice.organization_id), 0) < needs:
        return ""
    if occasion.kind != Occasion.Kind.LETTER and not _is_wanted(notice, person):
        return ""
    verified = EmailAddress.objects.filter(user=person, email__iexact=person.email, verified=True)
    return person.email if verified.exists() else ""


def _is_wanted(notice: Notice, person: User) -> bool:
    chosen = MailChoice.objects.filter(user=person).first() or MailChoice(user=person)
    return getattr(chosen, notice.occasion.kind) and _choice(notice) != ProjectChoice.Choice.MUTE


def _choice(notice: Notice) -> str:
    made = ProjectChoice.unscoped.filter(project_id=notice.occasion.project_id, user=notice.user).first()
    return made.choice if made else ""


def _send(notice: Notice, address: str) -> None:
    server = get_connection()
    message = _message(notice, address)
    try:
        server.open()
        if not _turn(notice, _Mail.WAITING, _Mail.SENDING):
            return
        server.send_messages([message])
    except (SMTPException, OSError) as error:
        _settle_failure(notice, error)
    else:
        _turn(notice, _Mail.SENDING, _Mail.SENT)
    finally:
        server.close()


def _settle_failure(notice: Notice, error: Exception) -> None:
    """Send again what was certainly not taken."""
    extra = {"notice_id": notice.pk, "problem": str(error)[:200]}
    notice.refresh_from_db(fields=["mail"])
    if notice.mail == _Mail.WAITING or isinstance(error, SMTPResponseException | SMTPRecipientsRefused):
        _log.warning("mail not taken", extra=extra)
        _send_later(notice, is_final=_is_final(error))
    else:
        _log.warning("the connection broke while a mail was sent; it may have been", extra=extra)
        _turn(notice, _Mail.SENDING, _Mail.UNSURE)


def _is_final(error: Exception) -> bool:
    """Whether the server will never take this mail to this address; all else may be mended."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, SMTPDataError) and error.smtp_code >= 500


@transaction.atomic
def _send_later(notice: Notice, *, is_final: bool) -> None:
    tries = notice.mail_tries + 1
    is_letter = notice.occasion.kind == Occasion.Kind.LETTER
    is_over = is_final or (tries > len(PAUSES_S) and not is_letter)
    Notice.unscoped.filter(pk=notice.pk).update(
        mail=_Mail.GIVEN_UP if is_over else _Mail.WAITING, mail_tries=tries
    )
    if not is_over:
        later = mail_notice.using(
            run_after=now() + timedelta(seconds=PAUSES_S[min(tries, len(PAUSES_S)) - 1])
        )
        later.enqueue(notice.pk, organization_id=notice.organization_id)


def _turn(notice: Notice, before: Notice.Mail, after: Notice.Mail) -> bool:
    """Whether it was so before, and nobody else was quicker."""
    return Notice.unscoped.filter(pk=notice.pk, mail=before).update(mail=after) == 1


def _message(notice: Notice, address: str) -> EmailMessage:
    occasion, site = notice.occasion, configuration()
    is_letter = occasion.kind == Occasion.Kind.LETTER
    headers = {
        "Message-ID": f"<{notice.pk}@{urlsplit(site.address).hostname}>",
        "Auto-Submitted": "auto-generated",
    }
    if not is_letter:
        headers["List-Unsubscribe"] = f"<{site.address}{SETTINGS}>"
    return EmailMessage(
        subject=_subject(occasion),
        body=_letter(notice) if is_letter else _body(notice),
        from_email=site.mail_from,
        to=[address],
        headers=headers,
        attachments=[one for find in _attachments for one in find(occasion)] if is_letter else [],
    )


def _subject(occasion: Occasion) -> str:
    if occasion.kind == Occasion.Kind.LETTER:
        return " ".join(f"{occasion.title}: {occasion.organization.name}".split())
    number = f" at {occasion.resolution}" if occasion.resolution else ""
    place = occasion.project.name if occasion.project else occasion.organization.name
    return " ".join(f"{occasion.state_words}{number}: {occasion.title}, {place}".split())


def _body(notice: Notice) -> str:
    occasion, site = notice.occasion, configuration()
    facts = {
        "Organization": notice.organization.name,
        "Project": occasion.project.name if occasion.project else "",
        "State": occasion.state_words,
        "Resolution": occasion.resolution,
    }
    lines = "\n".join(f"{name + ':':<14}{text}" for name, text in facts.items() if text)
    message = f"\n{occasion.message}\n" if occasion.message else ""
    return f"{occasion.title}\n\n{lines}\n{message}\n{site.address}{occasion.address}\n" + dedent(f"""
        --\x20
        You get this mail because {_reason(notice)}.
        Choose which mails you get: {site.address}{SETTINGS}
        """)


def _letter(notice: Notice) -> str:
    occasion, site = notice.occasion, configuration()
    why = "own the organization" if notice.user else "are named as the address for its invoices"
    return f"{occasion.title}\n\n{occasion.message}\n\n{site.address}{occasion.address}\n" + dedent(f"""
        Organization: {occasion.organization.name}
        --\x20
        You get this mail because you {why}. It belongs to the service, so no choice of mails switches it off.
        Questions: {site.contact_words}
        """)


def _reason(notice: Notice) -> str:
    if notice.occasion.subject == Occasion.Subject.WEBHOOK:
        return "you govern the organization"
    is_followed = _choice(notice) == ProjectChoice.Choice.FOLLOW
    return "you follow the project; its page mutes it" if is_followed else "you started it"
