"""Mails that are made to break whoever reads them: each is kept with what could be read, or refused in words."""

from __future__ import annotations

import base64
import time

import pytest
from django.core import mail
from hypothesis import given, settings
from hypothesis import strategies as st

from cryocloud.web.inbox.listener import KEPT
from cryocloud.web.inbox.models import InvitationRequest, Mail
from cryocloud.web.inbox.reading import TEXT_LENGTH_MAX, Letter, read_letter, words_of_html
from web.inbox.conftest import arrive, work

pytestmark = pytest.mark.django_db

HEAD = b"From: Eve <eve@evil.example>\r\nTo: help@cryocloud.example\r\nMessage-ID: <1@evil.example>\r\n"
SECONDS_MAX = 10.0
MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n"


def nested(depth: int) -> bytes:
    """Parts inside parts, each with a boundary of its own."""
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(depth)
    )
    return HEAD + opened + b"\r\ndeep inside"


HOSTILE = {
    "nothing": b"",
    "no headers": b"\r\njust text",
    "a header without end": HEAD + b"Subject: " + b"x" * 500_000 + b"\r\n\r\ntext",
    "a header folded without end": HEAD + b"Subject: x\r\n" + b" y\r\n" * 100_000 + b"\r\ntext",
    "many headers": HEAD + b"X-A: b\r\n" * 200_000 + b"\r\ntext",
    "a header in a header": HEAD + b"Subject: =?utf-8?q?hello=0D=0ABcc=3A_all=40evil.example?=\r\n\r\ntext",
    "a NUL": HEAD + b"Subject: a\0b\r\n\r\nte\0xt",
    "controls of a terminal": HEAD + b"Subject: \x1b[2J\x07\r\n\r\n\x1b]0;owned\x07text",
    "a turned direction": HEAD + "Subject: invoice\u202efdp.exe\r\n\r\n\u2066text".encode(),
    "bytes of no charset": HEAD + b"Subject: \xff\xfe\xfd\r\n\r\n\xff\xfe\xfdtext",
    "a charset that is none": HEAD + b"Content-Type: text/plain; charset=klingon\r\n\r\ntext",
    "a slow charset": HEAD + b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a-" * 500_000,
    "a charset of bytes": HEAD + b"Content-Type: text/plain; charset=zlib\r\n\r\ntext",
    "a charset that escapes": HEAD + b'Content-Type: text/plain; charset="../../etc"\r\n\r\ntext',
    "halves of characters": HEAD + b"Content-Type: text/plain; charset=utf-16-le\r\n\r\n\x00\xd8t\x00",
    "an unknown encoding": HEAD + b"Content-Transfer-Encoding: x-rot\r\n\r\ntext",
    "base64 that is none": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n!!!???===",
    "a subject of encoded words": HEAD + b"Subject: " + b"=?utf-8?b?eA==?= " * 200 + b"\r\n\r\ntext",
    "comments in comments": b"From: " + b"(" * 3_000 + b"eve@evil.example\r\n\r\ntext",
    "quotes without end": b'From: "' + b'\\"' * 1_500 + b" <eve@evil.example>\r\n\r\ntext",
    "a crowd of senders": b"From: " + b"a@b.example, " * 5_000 + b"c@d.example\r\n\r\ntext",
    "a sender with a line break": b"From: =?utf-8?q?Eve=0D=0ATo=3A_all?= <eve@evil.example>\r\n\r\ntext",
    "a sender that looks like another": b'From: "boss@uni.example" <eve@evil.example>\r\n\r\ntext',
    "two senders": b"From: boss@uni.example\r\n" + HEAD + b"\r\ntext",
    "a type without end": HEAD + b"Content-Type: text/plain;" + b' a="b";' * 100_000 + b"\r\n\r\ntext",
    "parameters that quote": HEAD + b"Content-Type: text/plain; a=" + b'";' * 100_000 + b"\r\n\r\ntext",
    "a type that is none": HEAD + b"Content-Type: /;;;=\r\n\r\ntext",
    "a boundary that is missing": HEAD + b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\ntext",
    "a boundary that never ends": HEAD + MIXED + b"\r\n--b\r\n\r\ntext",
    "a boundary of its own parent": HEAD + MIXED + b"\r\n--b\r\n" + MIXED + b"\r\n--b\r\n\r\ntext\r\n--b--",
    "parts without number": HEAD + MIXED + b"\r\n" + b"--b\r\n\r\n\r\n" * 200_000,
    "parts to the limit": HEAD + MIXED + b"\r\n" + b"--b\r\n\r\n\r\n" * 9_000,
    "parts inside parts": nested(2_000),
    "parts inside parts to the limit": nested(39),
    "mails inside mails": HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 3_000 + b"text",
    "html that runs": HEAD + b"Content-Type: text/html\r\n\r\n<script>alert(1)</script><p onclick=x()>Hello <b>there",
    "html of tags alone": HEAD + b"Content-Type: text/html\r\n\r\n" + b"<a <b <!-- <![CDATA[" * 50_000,
    "an attachment that bursts": HEAD
    + MIXED
    + b"\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n"
    + b"Content-Disposition: attachment; filename=../../../etc/passwd\r\n\r\n"
    + base64.encodebytes(b"PK\3\4" * 1_000_000)
    + b"--b--\r\n",
    "a long text": HEAD + b"\r\n" + b"word " * 1_000_000,
    "a message id of others": b"From: eve@evil.example\r\nMessage-ID: <" + b"x" * 5_000 + b"@y>\r\n\r\ntext",
    "answers without end": HEAD + b"References: " + b"<a@b> " * 100_000 + b"\r\n\r\ntext",
    "a date that is none": HEAD + b"Date: Fri, 99 Foo 99999 99:99:99 +9999\r\n\r\ntext",
    "line feeds alone": HEAD.replace(b"\r\n", b"\n") + b"Subject: x\n\ntext",
    "an mbox line": b"From eve@evil.example Sat Nov 28 10:00:00 2026\r\n" + HEAD + b"\r\ntext",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mail_is_kept_or_refused_soon_and_shown_without_harm(operator, name):
    began_s = time.monotonic()
    answer = arrive(HOSTILE[name], sender="eve@evil.example")
    assert time.monotonic() - began_s < SECONDS_MAX
    assert answer == KEPT or answer.startswith("554 5.6.0 Not taken: the mail has more than")
    assert answer.isascii() and "\n" not in answer
    page = operator.client.get("/operator/requests/?state=open").content.decode()
    if answer == KEPT:
        kept = Mail.objects.get()
        shown = kept.subject + kept.sender_name + kept.sender + kept.text.replace("\n", "").replace("\t", "")
        assert shown.isprintable(), repr(shown[:200])
        assert len(kept.text) <= TEXT_LENGTH_MAX
        assert "<script>alert" not in page and "onclick" not in page
    work()
    for sent in mail.outbox:
        assert sent.to == [InvitationRequest.objects.get().email]
        assert not sent.cc and not sent.bcc
        sent.message().as_bytes()


def test_the_shown_address_is_the_one_that_is_invited(operator):
    arrive(HOSTILE["a sender that looks like another"], sender="eve@evil.example")
    request = InvitationRequest.objects.get()
    assert request.email == "eve@evil.example" and request.name == "boss@uni.example"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "an attachment that bursts",
            "1 attachment was not kept. Ask for a link to a dataset, or for the words alone.",
        ),
        ("a long text", "Only the first 20,000 characters of the text were kept."),
        (
            "a charset that is none",
            "The text names a charset that is not known, “klingon”; it was read as UTF-8.",
        ),
        ("html that runs", "This mail came as HTML alone; shown are its words without their form."),
    ],
)
def test_what_was_left_out_is_told(name, words):
    assert words in read_letter(HOSTILE[name], envelope_sender="eve@evil.example").notes


def test_words_of_html_are_shown_and_its_scripts_are_not():
    read = read_letter(HOSTILE["html that runs"], envelope_sender="eve@evil.example")
    assert read.text == "Hello there"
    table = "<head><title>x</title></head><p>a &lt; b<!-- > --><table><tr><td>1</td></tr><tr>2 < 3"
    assert [line for line in words_of_html(table).splitlines() if line] == ["a < b", "1", "2 < 3"]


_PIECES = st.sampled_from(
    [b"From: ", b"Subject: ", b"Content-Type: ", b"multipart/mixed; boundary=b", b"text/plain; charset=", b"utf-7",
     b"message/rfc822", b"=?utf-8?q?=C3=?=", b"\r\n", b"\r\n\r\n", b"--b", b"<a@b.example>", b'"', b"(",
     b";", b"\xff", b"\0",
     b"Content-Transfer-Encoding: base64", b"Content-Disposition: attachment; filename*=utf-8''%ff", b" ", b"=", b","]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES | st.binary(max_size=6), max_size=60))
def test_any_bytes_are_a_letter_or_refused(pieces):
    read = read_letter(b"".join(pieces), envelope_sender="x@y.example")
    assert isinstance(read, Letter)
    assert len(read.fingerprint("box")) == 64
