"""The web process."""

from __future__ import annotations

import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from cryocloud.web.core.supervised import add_heartbeat_argument, begin_supervised

GRACE_S = 5
BACKLOG = 512
TICKS_A_BEAT = 10  # of 0.1 s


class Command(BaseCommand):
    help = "Serve pages, API, uploads and event streams (uvicorn)."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--descriptor", type=int, help="a socket that listens; else a new one is made")
        add_heartbeat_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        import uvicorn

        heartbeat = begin_supervised("serve", options["heartbeat"])

        class BeatingServer(uvicorn.Server):
            """The event loop itself beats, so that a loop that hangs is noticed."""

            async def on_tick(self, counter: int) -> bool:
                if counter % TICKS_A_BEAT == 0:
                    heartbeat.beat()
                return await super().on_tick(counter)

        configuration = settings.CONFIGURATION
        listener = (
            socket.create_server(("127.0.0.1", configuration.port), backlog=BACKLOG)
            if options["descriptor"] is None
            else socket.socket(fileno=options["descriptor"])
        )
        server = BeatingServer(
            uvicorn.Config(
                "cryocloud.web.asgi:application",
                loop="uvloop",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=configuration.is_https,
                forwarded_allow_ips="127.0.0.1",
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        server.run(sockets=[listener])
