"""A real web process for tests: uvicorn on a free port, on the database of the test run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

SERVE = """
import django, socket, sys
django.setup()
from django.conf import settings
from cryocloud.web.front.server import make_server
server = make_server(settings.CONFIGURATION, beat=lambda: None, grace_s=1)
server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


@dataclass(frozen=True)
class Served:
    """Where the process listens, and the process."""

    address: str
    process: subprocess.Popen[bytes]


def _is_passed_on(name: str) -> bool:
    return name == "CRYOCLOUD_DATABASE" or not name.startswith("CRYOCLOUD_")


@contextmanager
def serving(
    home: Path, database: str, *, prelude: str = "", port: int = 0, **environment: str
) -> Iterator[Served]:
    """Serve until the block ends. Connections wait in the socket until the process accepts them.

    ``prelude`` runs in the process before the platform, so that a test can shorten intervals.
    """
    with (
        socket.create_server(("127.0.0.1", port), backlog=1024) as listening,
        (home / "server.log").open("wb") as log,
    ):
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + SERVE, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            stderr=log,
            env={
                **{name: value for name, value in os.environ.items() if _is_passed_on(name)},
                "PYTHONPATH": os.pathsep.join(
                    [str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")]
                ),
                "DJANGO_SETTINGS_MODULE": "served_settings",
                "TEST_DATABASE": database,
                "CRYOCLOUD_HOME": str(home),
                "CRYOCLOUD_SECRET_KEY": settings.SECRET_KEY,
                "CRYOCLOUD_ADDRESS": address,
                **environment,
            },
        )
    try:
        yield Served(address, process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=50)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
