"""The process that takes mails from the mail server of the machine."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.audit.tombstones import NotReplayed, require_replayed
from cryocloud.web.configuration import configuration
from cryocloud.web.core.supervised import add_heartbeat_argument, begin_supervised
from cryocloud.web.inbox.listener import listen


class Command(BaseCommand):
    help = "Take mails by LMTP."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_heartbeat_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        port = configuration().inbox_port
        if port is None:
            raise CommandError("CRYOCLOUD_INBOX_PORT names no port")
        try:
            require_replayed()
        except NotReplayed as reason:
            raise CommandError(str(reason)) from None
        heartbeat = begin_supervised("inbox", options["heartbeat"])
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        asyncio.run(listen(port, stop, heartbeat.beat))
