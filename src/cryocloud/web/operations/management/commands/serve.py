"""The web process."""

from __future__ import annotations

import shutil
import socket
import tempfile
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.audit.tombstones import NotReplayed, require_replayed
from cryocloud.web.core.supervised import add_heartbeat_argument, begin_supervised


class Command(BaseCommand):
    help = "Serve pages, API, uploads and event streams (uvicorn)."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--descriptor", type=int, help="a socket that listens; else a new one is made")
        add_heartbeat_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        # The server is imported where it is needed only: it takes a fifth of a second.
        from cryocloud.web.front.server import BACKLOG, make_server

        try:
            require_replayed()
        except NotReplayed as reason:
            raise CommandError(str(reason)) from None
        heartbeat = begin_supervised("serve", options["heartbeat"])
        configuration = settings.CONFIGURATION
        # Large forms wait on the disk whose room is watched, and what a killed process left there goes.
        spool = configuration.home / "spool"
        shutil.rmtree(spool, ignore_errors=True)
        spool.mkdir(mode=0o700, parents=True)
        tempfile.tempdir = str(spool)
        listener = (
            socket.create_server(("127.0.0.1", configuration.port), backlog=BACKLOG)
            if options["descriptor"] is None
            else socket.socket(fileno=options["descriptor"])
        )
        make_server(configuration, beat=heartbeat.beat).run(sockets=[listener])
