"""Mails from the mail server of the machine, by LMTP (RFC 2033) on the loopback interface.

A mail is committed to the database before it is answered 250. Whatever fails here is answered with 4xx, so that the
mail server keeps the mail and comes again; only what no later try could mend is refused for good.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import Envelope, Session
from django.db import close_old_connections

from cryocloud.web.core.disk_room import lacks_room, room
from cryocloud.web.core.errors import TooManyRequests
from cryocloud.web.inbox.boxes import box_of
from cryocloud.web.inbox.keeping import keep_mail
from cryocloud.web.inbox.reading import BYTES_MAX, Unreadable

MAILS_AT_ONCE = 4
BEAT_S = 1.0
KEPT = "250 2.0.0 Kept"
NO_BOX = "550 5.1.1 No mailbox of this name takes mail here"
TOO_LARGE = f"552 5.3.4 The mail has more than {BYTES_MAX // 2**20} MiB"
TOO_LONG_A_LINE = "500 5.6.0 A line is longer than 1,000 bytes"
NO_ROOM = "452 4.3.1 No room at the moment"
TOO_MANY = "451 4.7.1 Too many mails in an hour; try again later"
LATER = "451 4.3.0 Not kept; try again later"

_log = logging.getLogger("cryocloud.inbox")


async def listen(port: int, stop: threading.Event, beat: Callable[[], None]) -> None:
    """Until ``stop``."""
    listener = Listener()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(listener.conversation, "127.0.0.1", port)
    _log.info("ready", extra={"port": server.sockets[0].getsockname()[1]})
    async with server:
        while not stop.is_set():
            beat()
            await asyncio.sleep(BEAT_S)


class Listener:
    """What all conversations share: how many mails are in memory, and the one thread that reads and keeps them."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(MAILS_AT_ONCE)
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keeping")

    def conversation(self) -> _Conversation:
        return _Conversation(self)

    async def handle_RCPT(
        self, _server: LMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if box_of(address) is None:
            return NO_BOX
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_exception(self, error: Exception) -> str:
        _log.error("conversation failed", exc_info=error)
        return LATER

    async def keep(self, content: bytes, envelope_sender: str, recipient: str) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._keeper, _keep_anew, content, envelope_sender, recipient)


class _Conversation(LMTP):
    """One connection. Of aiosmtpd's own DATA each line is an object: 25 MiB of empty lines held more than 1 GB."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(
            listener,
            data_size_limit=BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="CryoCloud",
            loop=asyncio.get_running_loop(),
        )
        self._listener = listener

    async def smtp_DATA(self, arg: str) -> None:
        """LMTP answers once for each recipient."""
        if self.envelope is None or not self.envelope.rcpt_tos or arg:
            await self.push("503 5.5.1 A recipient first, then DATA alone")
            return
        sender, recipients = self.envelope.mail_from or "", list(self.envelope.rcpt_tos)
        async with self._listener.turns:
            await self.push("354 Go on, and end with a line that holds a dot")
            content, refusal = await self._content()
            answers = [refusal or await self._listener.keep(content, sender, one) for one in recipients]
            del content
        self.envelope = self._create_envelope()
        for answer in answers:
            await self.push(answer)

    async def _content(self) -> tuple[bytes, str]:
        """Read on to the end of the mail in any case, so that the answer is understood."""
        content, refusal, is_begun = bytearray(), "", False
        while True:
            try:
                line = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as error:
                await self._reader.read(error.consumed)
                refusal, is_begun = refusal or TOO_LONG_A_LINE, True
                content.clear()
                continue
            if line == b".\r\n" and not is_begun:
                return bytes(content), refusal
            is_begun = False
            if not refusal:
                content += line.removeprefix(b".")
                if len(content) > BYTES_MAX:
                    refusal = TOO_LARGE
                    content.clear()


def _keep_anew(content: bytes, envelope_sender: str, recipient: str) -> str:
    """A connection to the database that broke since the last mail is opened again."""
    close_old_connections()
    return keep(content, envelope_sender, recipient)


def keep(content: bytes, envelope_sender: str, recipient: str) -> str:
    """The answer to the mail server. A mail that is cut off before it was told so comes again, and is known then."""
    box = box_of(recipient)
    if box is None:
        return NO_BOX
    if room().shortage:
        return NO_ROOM
    try:
        keep_mail(content, box=box, envelope_sender=envelope_sender, recipient=recipient)
    except Unreadable as reason:
        return f"554 5.6.0 Not taken: {reason}"
    except TooManyRequests:
        return TOO_MANY
    except Exception as error:
        _log.exception("mail not kept")
        return NO_ROOM if lacks_room(error) else LATER
    return KEPT
