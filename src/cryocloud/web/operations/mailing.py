"""How mails leave the platform, and a test that says what the mail server answered."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.smtp import EmailBackend

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.staff import require_operator
from cryocloud.web.audit.services import record_event
from cryocloud.web.configuration import configuration
from cryocloud.web.core.rate_limits import spend

TESTS_AN_HOUR = 20
SUBJECT = "Test of CryoCloud's mail"
BODY = (
    "{name},\n\nthis mail was asked for on the operator's page of {address}/. It has arrived: mails work.\n"
)


@dataclass(frozen=True)
class Kept:
    """Mails in a folder, where there is no mail server."""

    folder: Path
    number: int
    latest_at: datetime | None


@dataclass(frozen=True)
class Outcome:
    """What came of a test; ``answer`` is the server's own."""

    is_sent: bool
    answer: str
    remedy: str = ""

    @property
    def words(self) -> str:
        return f"The test mail was {'sent' if self.is_sent else 'not sent'}: {self.answer}."


def kept_mails() -> Kept:
    folder = configuration().mail_folder
    times_s = [path.stat().st_mtime for path in folder.glob("*.log")] if folder.is_dir() else []
    return Kept(folder, len(times_s), datetime.fromtimestamp(max(times_s), UTC) if times_s else None)


def send_test_mail(*, actor: Actor) -> Outcome:
    """To the operator's own address and nobody else's; waits for the answer."""
    require_operator(actor)
    spend("test mail", actor.user.pk, amount=TESTS_AN_HOUR, window_s=3600)
    site = configuration()
    words = BODY.format(name=actor.user.name, address=site.address)
    mail = EmailMessage(SUBJECT, words, settings.DEFAULT_FROM_EMAIL, [actor.user.email])
    connection = get_connection(fail_silently=False)
    outcome = (
        _send(connection, mail) if isinstance(connection, EmailBackend) else _keep(mail, kept_mails().folder)
    )
    record_event(
        "mail.tested",
        organization_id="",
        target=actor.user,
        actor_id=actor.user.pk,
        via=actor.via,
        sent=outcome.is_sent,
    )
    return outcome


def _keep(mail: EmailMessage, folder: Path) -> Outcome:
    try:
        mail.send()
    except OSError as error:
        return Outcome(
            False, str(error), f"Look at the folder {folder}: the platform must be able to write there."
        )
    return Outcome(True, f"written to a file in {folder}; there is no mail server")


def _send(connection: EmailBackend, mail: EmailMessage) -> Outcome:
    """Step by step, because the server's last answer is what an operator wants to see."""
    try:
        connection.open()
        server = connection.connection
        assert server is not None
        server.ehlo_or_helo_if_needed()
        content = mail.message().as_bytes().replace(b"\n", b"\r\n")
        steps: tuple[Callable[[], tuple[int, bytes]], ...] = (
            lambda: server.mail(parseaddr(mail.from_email)[1]),
            lambda: server.rcpt(mail.to[0]),
            lambda: server.data(content),
        )
        for step in steps:
            code, said = step()
            if code >= 400:
                return _refused(code, said)
    except smtplib.SMTPResponseException as error:
        return _refused(error.smtp_code, error.smtp_error)
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(False, str(error) or type(error).__name__, _REACH)
    finally:
        connection.close()
    return Outcome(True, f"{code} {_text(said)}")


_REACH = "The server was not reached. Look at host, port and encryption in CRYOCLOUD_SMTP_URL, and at the firewall."
_REMEDIES = {
    530: "The server wants a log-in or encryption: smtp+starttls://USER:PASSWORD@HOST:587 in CRYOCLOUD_SMTP_URL.",
    535: "User or password in CRYOCLOUD_SMTP_URL is wrong; write special characters as %XX.",
    550: "The server does not take mail from this sender or for this address; look at CRYOCLOUD_MAIL_FROM.",
    553: "The server does not take mail from this sender; look at CRYOCLOUD_MAIL_FROM.",
    554: "The server does not take mail from this sender or machine; look at CRYOCLOUD_MAIL_FROM, or ask its operator.",
}


def _refused(code: int, said: bytes | str) -> Outcome:
    later = (
        "The server asks to try again later." if 400 <= code < 500 else "Ask the operator of the mail server."
    )
    return Outcome(False, f"{code} {_text(said)}", _REMEDIES.get(code, later))


def _text(said: bytes | str) -> str:
    return (said.decode("utf-8", "replace") if isinstance(said, bytes) else said)[:500]
