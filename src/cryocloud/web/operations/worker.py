"""Background work: a thread for what is quick, one for each kind of slow work, one for the clock, one for the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.db import DatabaseError, close_old_connections, connection
from django.db.models import Q
from django.utils.module_loading import autodiscover_modules

from cryocloud.web.core import tasks
from cryocloud.web.core.disk_room import keep_ballast
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.leases import drop_lease, take_lease
from cryocloud.web.core.periodic import keep_appointments

LEASE_NAME = "worker"
LEASE = timedelta(seconds=15)
RENEW_S = 4.0
IDLE_S = 0.5
GRACE_S = 10.0
BALLAST_S = 1.0
LANES = {
    "quick": Q(priority__gte=0),
    "mailing": Q(priority=tasks.MAILING),
    "calling": Q(priority=tasks.CALLING),
    "reading": Q(priority=tasks.READING),
    "drawing": Q(priority=tasks.DRAWING),
    "moving": Q(priority=tasks.MOVING),
    "removing": Q(priority__lte=tasks.REMOVING),
}

_log = logging.getLogger("cryocloud.worker")


def work(stop: threading.Event, beat: Callable[[], None] = lambda: None) -> None:
    """Until ``stop``. There is one worker at a time: a second one waits for the lease of the first."""
    autodiscover_modules("tasks", "housekeeping", "sample")
    owner = new_id()
    # Before the lease: where the disk is full there is none until the ballast is let go.
    threading.Thread(target=_ballast_until, args=(stop,), name="disk", daemon=True).start()
    while not stop.is_set() and not _hold(owner):
        beat()
        stop.wait(1.0)
    if stop.is_set():
        return
    tasks.release_others(owner)
    _log.info("ready")
    lost = threading.Event()
    loops = {name: partial(_tasks_until, stop, lost, owner, which) for name, which in LANES.items()} | {
        "clock": partial(_clock_until, stop, lost)
    }
    threads = [
        threading.Thread(target=_closing(loop), name=name, daemon=True) for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(RENEW_S):
        if all(thread.is_alive() for thread in threads):
            beat()
        if not _hold(owner):
            _log.error("the lease went to another worker")
            lost.set()
            break
    _wait_for(threads)
    drop_lease(LEASE_NAME, owner)


def _hold(owner: str) -> bool:
    """Take or renew the lease of the worker and of what it has in hand."""
    try:
        held = take_lease(LEASE_NAME, owner, LEASE) is not None
        if held:
            tasks.renew_leases(owner)
        return held
    except DatabaseError:
        _log.exception("lease not renewed")
        return (
            True  # a full disk or a locked database ends by itself; the lease decides once it answers again
        )


def _tasks_until(stop: threading.Event, lost: threading.Event, owner: str, which: Q) -> None:
    while not (stop.is_set() or lost.is_set()):
        if not _guarded(lambda: tasks.run_next(owner, which)):
            stop.wait(IDLE_S)


def _clock_until(stop: threading.Event, lost: threading.Event) -> None:
    while not (stop.is_set() or lost.is_set()):
        _guarded(keep_appointments)
        stop.wait(RENEW_S)


def _ballast_until(stop: threading.Event) -> None:
    while not stop.is_set():
        _guarded(keep_ballast)
        stop.wait(BALLAST_S)


def _guarded(act: Callable[[], bool | None]) -> bool:
    """Whether there was something to do. What fails here fails again later, and must not end the thread."""
    try:
        return bool(act())
    except Exception:
        _log.exception("background work failed")
        close_old_connections()
        return False


def _closing(loop: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            loop()
        finally:
            connection.close()

    return run


def _wait_for(threads: list[threading.Thread]) -> None:
    deadline_s = time.monotonic() + GRACE_S
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
