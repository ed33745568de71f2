"""``python -m cryocloud.web scheduler``."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from cryocloud.web.audit.tombstones import NotReplayed, require_replayed
from cryocloud.web.core.supervised import add_heartbeat_argument, begin_supervised
from cryocloud.web.scheduling.scheduler import Scheduler


class Command(BaseCommand):
    help = "Start jobs, follow them and publish their results. A second one waits until the first has gone."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_heartbeat_argument(parser)
        parser.add_argument("--interval-s", type=float, default=0.5, help="Pause between two turns")
        parser.add_argument(
            "--lease-s", type=float, default=10.0, help="How long a scheduler that was killed blocks the next"
        )

    def handle(self, *args: Any, interval_s: float, lease_s: float, **options: Any) -> None:
        try:
            require_replayed()
        except NotReplayed as reason:
            raise CommandError(str(reason)) from None
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        heartbeat = begin_supervised("scheduler", options["heartbeat"])
        Scheduler(timedelta(seconds=lease_s), heartbeat.beat).run(stop, interval_s)
        connection.close()
        # A thread that still hashes a large result would hold the end up; the next scheduler does it again.
        os._exit(0)
