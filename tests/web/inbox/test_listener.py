"""The door for mails, as the mail server of the machine meets it."""

from __future__ import annotations

import smtplib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cryocloud.web.configuration import ConfigurationError, read_configuration
from cryocloud.web.inbox import keeping, listener
from cryocloud.web.inbox.models import InvitationRequest, Mail
from cryocloud.web.inbox.reading import BYTES_MAX
from web.inbox.conftest import CONTACT, GRACE, arrive, letter

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_mail_is_in_the_database_before_it_is_acknowledged(lmtp, monkeypatch):
    seen = []
    whole = listener.keep_mail
    monkeypatch.setattr(listener, "keep_mail", lambda *a, **n: seen.append(whole(*a, **n)))
    with lmtp() as server:
        server.send_message(letter(), GRACE, [CONTACT])
        assert Mail.objects.get().pk == seen[0].pk


def test_each_recipient_gets_an_answer_and_tags_belong_to_their_box(lmtp):
    with lmtp() as server:
        server.mail(GRACE)
        told = [
            server.rcpt(one)[0] for one in (CONTACT, "root@cryocloud.example", "Help+x@CryoCloud.example")
        ]
        assert told == [250, 550, 250]
        assert [server.data(letter().as_bytes())[0], server.getreply()[0]] == [250, 250]
    assert InvitationRequest.objects.count() == 1


def test_several_mails_go_over_one_connection_and_the_null_sender_may_write(lmtp):
    with lmtp() as server:
        for number in range(3):
            server.send_message(letter(f"no. {number}", Message_ID=f"<{number}@x>"), "", [CONTACT])
    assert Mail.objects.count() == 3


def test_the_text_comes_as_it_was_written(lmtp):
    lines = "..\n.dots\n" + "é" * 60 + "\nlast"
    with lmtp() as server:
        server.send_message(letter(lines), GRACE, [CONTACT])
    assert Mail.objects.get().text == lines


def test_a_mail_of_more_than_25_mib_is_refused_and_the_next_is_taken(lmtp):
    with lmtp() as server:
        server.sock.settimeout(120)
        with pytest.raises(smtplib.SMTPSenderRefused) as refusal:
            server.sendmail(GRACE, [CONTACT], b"x" * 900 + b"\r\n", mail_options=[f"SIZE={BYTES_MAX + 1}"])
        assert refusal.value.smtp_code == 552
        server.rset()
        server.mail(GRACE)
        server.rcpt(CONTACT)
        code, _ = server.data(b"Subject: x\r\n\r\n" + (b"y" * 900 + b"\r\n") * (BYTES_MAX // 900))
        assert code == 552
        server.send_message(letter(), GRACE, [CONTACT])
    assert Mail.objects.count() == 1


def test_25_mib_of_empty_lines_are_refused_in_little_memory(lmtp):
    with lmtp() as server:
        server.sock.settimeout(120)
        server.mail(GRACE)
        server.rcpt(CONTACT)
        began_s = time.monotonic()
        code, words = server.data(b"Subject: x\r\n\r\n" + b"\r\n" * 1_000_000)
        assert (code, b"lines" in words) == (554, True)
        assert time.monotonic() - began_s < 60


def test_a_line_without_end_is_refused_and_the_connection_goes_on(lmtp):
    with lmtp() as server:
        server.mail(GRACE)
        server.rcpt(CONTACT)
        code, _ = server.data(b"Subject: x\r\n\r\n" + b"z" * 300_000 + b"\r\n.\r\nmore\r\n")
        assert code == 500
        server.send_message(letter(), GRACE, [CONTACT])
    assert Mail.objects.count() == 1


@pytest.mark.parametrize("cut", [b"hal", b"half\r\n", b"half\r\n."])
def test_a_connection_that_breaks_leaves_nothing(lmtp, cut):
    with lmtp() as server:
        server.mail(GRACE)
        server.rcpt(CONTACT)
        server.docmd("DATA")
        server.sock.sendall(b"Subject: x\r\n\r\n" + cut)
        server.sock.shutdown(socket.SHUT_RDWR)
        server.close()
    with lmtp() as server:
        server.send_message(letter(), GRACE, [CONTACT])
    assert Mail.objects.count() == 1


def test_a_bare_newline_before_a_dot_smuggles_no_second_mail(lmtp):
    smuggled = b"Subject: one\r\n\r\ntext\n.\nMAIL FROM:<boss@uni.example>\r\nRCPT TO:<help@cryocloud.example>\r\nmore"
    with lmtp() as server:
        server.mail(GRACE)
        server.rcpt(CONTACT)
        server.putcmd("data")
        server.getreply()
        server.send(smuggled + b"\r\n.\r\n")
        assert server.getreply()[0] == 250
        assert server.noop()[0] == 250
    assert Mail.objects.count() == 1


def test_one_sender_is_told_to_come_later_and_the_others_are_not(lmtp):
    with lmtp() as server:
        answers = []
        for number in range(keeping.MAILS_OF_ONE_SENDER_AN_HOUR + 5):
            server.mail(GRACE)
            server.rcpt(CONTACT)
            answers.append(server.data(letter(Message_ID=f"<{number}@uni.example>").as_bytes())[0])
        assert answers == [250] * keeping.MAILS_OF_ONE_SENDER_AN_HOUR + [451] * 5
        server.mail(GRACE)
        server.rcpt(CONTACT)
        assert server.data(letter(Message_ID="<0@uni.example>").as_bytes())[0] == 250, "kept before"
        server.send_message(
            letter(From="other@uni.example", Message_ID="<o@x>"), "other@uni.example", [CONTACT]
        )


def test_a_flood_over_many_connections_keeps_each_mail_once(lmtp):
    def deliver(number):
        with lmtp() as server:
            for part in range(5):
                mail = letter(
                    From=f"p{number % 8}@uni.example", Message_ID=f"<{number % 8}.{part}@uni.example>"
                )
                server.send_message(mail, GRACE, [CONTACT])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(deliver, range(24)))
    assert Mail.objects.count() == InvitationRequest.objects.count() == 40


def test_what_fails_is_told_to_come_later(lmtp, monkeypatch, home):
    def broken(*_, **__):
        raise RuntimeError("no database")

    with lmtp() as server:
        monkeypatch.setattr(listener, "keep_mail", broken)
        server.mail(GRACE)
        server.rcpt(CONTACT)
        assert server.data(letter().as_bytes())[0] == 451
        monkeypatch.undo()


def test_without_room_on_the_disk_mails_wait_at_the_mail_server(monkeypatch):
    class Full:
        shortage = "1 MiB is free"

    monkeypatch.setattr(listener, "room", Full)
    assert arrive(letter()) == listener.NO_ROOM
    assert not Mail.objects.exists()


def test_an_inbox_without_an_address_is_refused_at_the_start():
    with pytest.raises(ConfigurationError, match="CRYOCLOUD_CONTACT"):
        read_configuration({"CRYOCLOUD_INBOX_PORT": "2424"})
    assert read_configuration({}).inbox_port is None
