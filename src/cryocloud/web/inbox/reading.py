"""A mail from anybody, read without trusting any of it: plain text, bounded, and notes of what was left out.

The parser of the standard library works in time that grows with the square of some lengths, and calls itself for each
part inside a part. So lines, parts, depth and the length of each header are bounded before it sees the mail.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.headerregistry import AddressHeader
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from email.policy import EmailPolicy
from html import unescape
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from cryocloud.web.inbox.models import ADDRESS_LENGTH, MESSAGE_ID_LENGTH, NAME_LENGTH, SUBJECT_LENGTH

BYTES_MAX = 25 * 2**20
LINES_MAX = 500_000  # 25 MiB of attachments have 350,000
PARTS_MAX = 10_000
DEPTH_MAX = 40
HEADER_LENGTH_MAX = 4_000
TEXT_LENGTH_MAX = 20_000
ENCODED_TEXT_MAX = 4 * TEXT_LENGTH_MAX
REFERENCES_MAX = 20

_NESTING = re.compile(rb"boundary\s*(?:\*\d*\*?)?\s*=|message/", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,253}>")
# Each character costs these two decoders the length of what came before it.
_SLOW_CHARSETS = ("punycode", "idna")
_LINE_BREAKING = ("br", "p", "div", "tr", "li", "h1", "h2", "h3", "blockquote", "table")
_UNSEEN = ("script", "style", "head", "title")
_TAG = re.compile(r"<(!--|/?[a-z][a-z0-9]*|!)")
_Read = TypeVar("_Read")


class Unreadable(Exception):
    """A mail that is not taken; the words go to whoever sent it."""


@dataclass(frozen=True)
class Letter:
    """What a mail says."""

    message_id: str
    answers: tuple[str, ...]
    sender: str
    sender_name: str
    subject: str
    sent: str
    text: str
    attachments: int
    is_automatic: bool
    notes: tuple[str, ...]

    def fingerprint(self, kind: str) -> str:
        """Equal for a mail that comes again, also on another way: what servers add to it does not count."""
        told = (kind, self.message_id, self.sender, self.subject, self.sent, self.text, str(self.attachments))
        return hashlib.sha256("\0".join(told).encode()).hexdigest()


def read_letter(content: bytes, *, envelope_sender: str, own_addresses: Sequence[str] = ()) -> Letter:
    """Read a mail; ``Unreadable`` if it is too large, or made to be slow."""
    _require_modest(content)
    reader = _Reader()
    message = reader.attempt("structure", lambda: _parsed(content), EmailMessage())
    name, address = reader.sender(message)
    text, attachments = reader.text(message), reader.attachments(message)
    return Letter(
        message_id=next(iter(reader.ids(message, "message-id")), ""),
        answers=tuple(
            (reader.ids(message, "in-reply-to") + reader.ids(message, "references"))[-REFERENCES_MAX:]
        ),
        sender=address,
        sender_name=name,
        subject=reader.header(message, "subject")[:SUBJECT_LENGTH],
        sent=reader.header(message, "date"),
        text=text,
        attachments=attachments,
        is_automatic=_is_automatic(reader, message, envelope_sender) or address in own_addresses,
        notes=tuple(reader.notes),
    )


def _require_modest(content: bytes) -> None:
    if len(content) > BYTES_MAX:
        raise Unreadable(f"the mail has more than {BYTES_MAX // 2**20} MiB")
    if content.count(b"\n") > LINES_MAX:
        raise Unreadable(f"the mail has more than {LINES_MAX:,} lines")
    if content.count(b"\n--") > PARTS_MAX:
        raise Unreadable(f"the mail has more than {PARTS_MAX:,} parts")
    if sum(1 for _ in _NESTING.finditer(content)) > DEPTH_MAX:
        raise Unreadable(f"the mail has more than {DEPTH_MAX} parts inside others")


class _Bounded(EmailPolicy):
    """The default policy, with names and values of headers cut before anything is read out of them."""

    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(list(sourcelines))
        return name[:80], value[:HEADER_LENGTH_MAX]


def _parsed(content: bytes) -> EmailMessage:
    message = BytesParser(policy=_Bounded()).parsebytes(content)
    assert isinstance(message, EmailMessage)
    return message


@dataclass
class _Reader:
    """Reads piece by piece: one that the standard library fails on is left out, and that is noted."""

    notes: list[str] = field(default_factory=list)

    def attempt(self, what: str, read: Callable[[], _Read], otherwise: _Read) -> _Read:
        # Forged headers make the library raise nearly anything (TypeError, IndexError, RecursionError, ...).
        try:
            return read()
        except Exception:
            self.note(f"The {what} of this mail could not be read.")
            return otherwise

    def note(self, words: str) -> None:
        if words not in self.notes:
            self.notes.append(words)

    def header(self, message: EmailMessage, name: str) -> str:
        return self.attempt(f"header “{name}”", lambda: one_line(str(message.get(name, ""))), "")

    def ids(self, message: EmailMessage, name: str) -> list[str]:
        raw = "".join(value for key, value in message.raw_items() if key.lower() == name)
        return [found for found in _MESSAGE_ID.findall(plain(str(raw))) if len(found) <= MESSAGE_ID_LENGTH]

    def sender(self, message: EmailMessage) -> tuple[str, str]:
        """Name and address; an address that no mail could go to is none."""
        name, address = self.attempt("sender", lambda: _first_address(message), ("", ""))
        address = address.lower()
        try:
            validate_email(address[: ADDRESS_LENGTH + 1])
        except ValidationError:
            self.note("This mail has no sender that could be answered.")
            address = ""
        return one_line(name)[:NAME_LENGTH], address

    def text(self, message: EmailMessage) -> str:
        part = self.attempt("text", lambda: message.get_body(("plain",)), None)
        if part is not None:
            return self._bounded(self._decoded(part))
        part = self.attempt("text", lambda: message.get_body(("html",)), None)
        if part is None:
            return ""
        self.note("This mail came as HTML alone; shown are its words without their form.")
        html = self._decoded(part)
        return self._bounded(self.attempt("text", lambda: words_of_html(html), ""))

    def attachments(self, message: EmailMessage) -> int:
        number = self.attempt("attachments", lambda: sum(_is_attached(part) for part in message.walk()), 0)
        if number:
            files = "attachment was" if number == 1 else "attachments were"
            self.note(f"{number:,} {files} not kept. Ask for a link to a dataset, or for the words alone.")
        return number

    def _decoded(self, part: MIMEPart) -> str:
        encoded = self.attempt("text", lambda: _payload(part), b"")
        if len(encoded) > ENCODED_TEXT_MAX:
            self.note(f"Only the first {TEXT_LENGTH_MAX:,} characters of the text were kept.")
        charset = self.attempt("charset", lambda: part.get_content_charset("utf-8"), "utf-8")
        try:
            if codecs.lookup(charset).name in _SLOW_CHARSETS:
                raise LookupError(charset)
            return encoded[:ENCODED_TEXT_MAX].decode(charset, "replace")
        except (LookupError, ValueError):
            self.note(
                f"The text names a charset that is not known, “{plain(charset)[:40]}”; it was read as UTF-8."
            )
            return encoded[:ENCODED_TEXT_MAX].decode("utf-8", "replace")

    def _bounded(self, text: str) -> str:
        clean = plain(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t").strip()
        if len(clean) > TEXT_LENGTH_MAX:
            self.note(f"Only the first {TEXT_LENGTH_MAX:,} characters of the text were kept.")
        return clean[:TEXT_LENGTH_MAX]


def _payload(part: MIMEPart) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _first_address(message: EmailMessage) -> tuple[str, str]:
    header = message.get("from")
    if not isinstance(header, AddressHeader) or not header.addresses:
        return "", ""
    first = header.addresses[0]
    return first.display_name, first.addr_spec


def _is_attached(part: EmailMessage) -> bool:
    if part.is_multipart():
        return False
    return part.is_attachment() or part.get_content_maintype() != "text"


def _is_automatic(reader: _Reader, message: EmailMessage, envelope_sender: str) -> bool:
    """Sent by a program or to a list: whoever answers such mails answers machines, or makes a loop (RFC 3834)."""
    if envelope_sender in ("", "<>"):
        return True
    if reader.header(message, "auto-submitted").lower() not in ("", "no"):
        return True
    if reader.header(message, "precedence").lower() in ("bulk", "list", "junk"):
        return True
    names = {name.lower() for name, _ in message.raw_items()}
    return bool(names & {"list-id", "list-unsubscribe", "list-post", "x-auto-response-suppress", "x-loop"})


def one_line(text: str) -> str:
    return " ".join(plain(text).split())


def plain(text: str, *, keep: str = "") -> str:
    """Without control characters, halves of characters, and signs that turn the direction of what follows."""
    return "".join(letter if letter in keep or _is_shown(letter) else " " for letter in text)


def _is_shown(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cs") and not (
        "\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069"
    )


def words_of_html(html: str) -> str:
    """What a person would see of it, as text; nothing of it is ever drawn. The time grows with the length alone."""
    lower, pieces, at = html.lower(), [], 0
    while at < len(html):
        tag = _TAG.search(lower, at)
        if tag is None:
            pieces.append(html[at:])
            break
        pieces.append(html[at : tag.start()])
        name = tag[1]
        ending = "-->" if name == "!--" else f"</{name}" if name in _UNSEEN else ">"
        end = lower.find(ending, tag.end())
        at = len(html) if end < 0 else end + (0 if name in _UNSEEN else len(ending))
        pieces.append("\n" if name in _LINE_BREAKING else "")
    text = unescape("".join(pieces))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(" ".join(line.split()) for line in text.splitlines()))
