"""A port for a server that is about to start."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from pathlib import Path

# Below the ports that Linux gives to outgoing connections, one of which would take the place of the server.
FIRST, LAST = 20_000, 32_000
_held: list[int] = []


def free_port() -> int:
    """Ours until this process ends: other processes of the tests that ask are given others."""
    folder = Path(tempfile.gettempdir()) / f"cryocloud-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    start = FIRST + os.getpid() % (LAST - FIRST)
    for port in itertools.chain(range(start, LAST), range(FIRST, start)):
        claim = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(claim)
            continue
        _held.append(claim)
        return port
    raise OSError(f"no port between {FIRST} and {LAST} is free")
