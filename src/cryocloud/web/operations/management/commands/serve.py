"""The web process."""

from __future__ import annotations

import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

GRACE_S = 5
BACKLOG = 512


class Command(BaseCommand):
    help = "Serve pages, API, uploads and event streams (uvicorn)."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--descriptor", type=int, help="a socket that listens; else a new one is made")

    def handle(self, *args: Any, **options: Any) -> None:
        import uvicorn

        configuration = settings.CONFIGURATION
        listener = (
            socket.create_server(("127.0.0.1", configuration.port), backlog=BACKLOG)
            if options["descriptor"] is None
            else socket.socket(fileno=options["descriptor"])
        )
        server = uvicorn.Server(
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
