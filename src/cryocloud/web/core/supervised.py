"""What a process owes ``cryocloud up``: a sign of life, and a log that does not grow without end."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from django.core.management.base import CommandParser

from cryocloud.web.configuration import configuration

LOOK_S = 1.0
OLDER_LOGS = 4

_log = logging.getLogger("cryocloud.log")


class Heartbeat:
    """Bytes into a pipe: unlike a file or a lease they need no disk, no database and no agreement on the time."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def beat(self) -> None:
        if self._descriptor is not None:
            # A full pipe means a parent that pauses, a broken one a parent that has gone: neither is ours to mend.
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self._descriptor, b".")


def add_heartbeat_argument(parser: CommandParser) -> None:
    parser.add_argument("--heartbeat", type=int, help="a pipe in which the parent looks for signs of life")


def begin_supervised(name: str, heartbeat: int | None) -> Heartbeat:
    """Call once at the start of a process; ``name`` is that of its log."""
    if heartbeat is not None:
        settings = configuration()
        arguments = (settings.home / "logs" / f"{name}.log", settings.log_bytes_max)
        threading.Thread(target=_bound_log, args=arguments, name="log", daemon=True).start()
    begun = Heartbeat(heartbeat)
    begun.beat()
    return begun


def _bound_log(path: Path, bytes_max: int) -> None:
    while True:
        try:
            set_aside_if_large(path, bytes_max)
        except OSError as error:
            _log.warning("log not set aside", extra={"reason": error.strerror})
        time.sleep(LOOK_S)


def set_aside_if_large(path: Path, bytes_max: int) -> None:
    """Turn standard output and error to a fresh file. Each line lands in the old or in the new one, never in none."""
    behind = os.fstat(2)
    if behind.st_size < bytes_max or not path.exists() or not os.path.samestat(behind, path.stat()):
        return
    fresh = path.with_name(f"{path.name}.next")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for number in range(OLDER_LOGS - 1, 0, -1):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}.{number}").rename(path.with_name(f"{path.name}.{number + 1}"))
    path.rename(path.with_name(f"{path.name}.1"))
    fresh.rename(path)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
