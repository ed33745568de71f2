"""The worker process."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.audit.tombstones import NotReplayed, require_replayed
from cryocloud.web.core.supervised import add_heartbeat_argument, begin_supervised
from cryocloud.web.operations.worker import work


class Command(BaseCommand):
    help = "Do background work and keep the clock."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_heartbeat_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_replayed()
        except NotReplayed as reason:
            raise CommandError(str(reason)) from None
        heartbeat = begin_supervised("worker", options["heartbeat"])
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        work(stop, heartbeat.beat)
