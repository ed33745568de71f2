"""Letters of the service: to owners and the address of the accounts, once a key, whatever mails they chose."""

from __future__ import annotations

import smtplib

from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import transaction

from cryocloud.web.configuration import configuration
from cryocloud.web.lifecycle import letters
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.notices.services import choose_mails
from cryocloud.web.organizations.models import Role
from web.lifecycle.conftest import send_mails
from web.notices.conftest import make_due

LETTER = {
    "key": "trial -7 d",
    "title": "The trial ends in 7 days",
    "message": "It ends on 4 May 2027, 10:00 UTC.",
    "path": "/organization/",
}


def test_owners_are_told_at_the_bell_and_by_mail_and_nobody_else(ada, make_person):
    make_person(ada.organization, Role.ADMIN, name="ben")
    make_person(ada.organization, Role.OWNER, name="cleo")
    choose_mails(actor=ada.actor, done=False, failed=False, needs_you=False)
    assert write_to_owners(ada.organization, **LETTER)
    send_mails()
    assert sorted(one.to for one in mail.outbox) == [["ada@lab.example"], ["cleo@lab.example"]]
    sent, site = mail.outbox[0], configuration().address
    assert sent.subject == "The trial ends in 7 days: Lab of ada"
    assert f"It ends on 4 May 2027, 10:00 UTC.\n\n{site}/organization/\n" in sent.body
    assert "because you own the organization" in sent.body
    assert "List-Unsubscribe" not in sent.extra_headers
    assert "The trial ends in 7 days" in ada.client.get("/notices/").content.decode()
    (notice,) = ada.api("GET", "/notices").json()["items"]
    assert (notice["kind"], notice["subject_id"]) == ("letter", ada.organization.pk)


def test_a_letter_is_written_once_a_key_and_not_at_all_if_its_reason_fails(ada):
    with transaction.atomic():
        write_to_owners(ada.organization, **LETTER)
        transaction.set_rollback(True)
    assert write_to_owners(ada.organization, **LETTER)
    assert not write_to_owners(ada.organization, **LETTER)
    send_mails()
    assert len(mail.outbox) == 1


def test_the_address_of_the_accounts_gets_it_too(ada, monkeypatch):
    monkeypatch.setattr(
        letters, "_addresses", [lambda _: "accounts@uni.example", lambda _: "ADA@lab.example"]
    )
    write_to_owners(ada.organization, **LETTER)
    send_mails()
    assert sorted(one.to for one in mail.outbox) == [["accounts@uni.example"], ["ada@lab.example"]]
    (theirs,) = [one for one in mail.outbox if one.to == ["accounts@uni.example"]]
    assert "because you are named as the address for its invoices" in theirs.body


def test_a_mail_server_that_is_down_for_days_loses_no_letter(ada, clock, monkeypatch):
    def refuse(*_: object) -> None:
        raise smtplib.SMTPServerDisconnected("down")

    write_to_owners(ada.organization, **LETTER)
    with monkeypatch.context() as patched:
        patched.setattr(EmailBackend, "open", refuse)
        for _ in range(10):
            clock.forward(hours=12)
            make_due()
            send_mails()
    assert mail.outbox == []
    make_due()
    send_mails()
    assert len(mail.outbox) == 1
