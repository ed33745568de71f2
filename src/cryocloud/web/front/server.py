"""The server of the web process: uvicorn, with the platform's limits on connections."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial

import uvicorn

from cryocloud.web.configuration import Configuration
from cryocloud.web.front.connections import Door, GuardedProtocol

BACKLOG = 512
GRACE_S = 5
# Files that the process needs beside its connections: databases, logs, downloads.
DESCRIPTORS_KEPT = 512
TICKS_A_BEAT = 10  # of 0.1 s


class BeatingServer(uvicorn.Server):
    """The event loop itself beats, so that a loop that hangs is noticed."""

    def __init__(self, config: uvicorn.Config, beat: Callable[[], object]) -> None:
        super().__init__(config)
        self._beat = beat

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_A_BEAT == 0:
            self._beat()
        return await super().on_tick(counter)


def make_server(
    settings: Configuration, *, beat: Callable[[], object], grace_s: int = GRACE_S
) -> uvicorn.Server:
    """Ready to run on a socket that listens already."""
    door = Door(
        connections=min(settings.connections, _descriptors() - DESCRIPTORS_KEPT),
        per_client=settings.connections_per_client,
        head_wait_s=settings.head_wait_s,
        proxies=settings.trusted_proxies,
    )
    return BeatingServer(
        uvicorn.Config(
            "cryocloud.web.asgi:application",
            loop="uvloop",
            http=partial(GuardedProtocol, door),  # type: ignore[arg-type]  # uvicorn only calls it
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            backlog=BACKLOG,
            timeout_keep_alive=settings.idle_wait_s,
            timeout_graceful_shutdown=grace_s,
        ),
        beat,
    )


def _descriptors() -> int:
    """As many open files as the system lets this process have; shells often grant 1,024 at first."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(most, 1 << 20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
