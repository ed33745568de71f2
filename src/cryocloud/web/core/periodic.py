"""The clock of the worker: what happens every so often, once in the whole platform, also across restarts.

An app writes ``@every(timedelta(hours=1))`` above a function in its ``tasks.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.leases import take_lease
from cryocloud.web.core.models import Lease

RETRY = timedelta(minutes=1)

_log = logging.getLogger("cryocloud.clock")


@dataclass(frozen=True)
class Appointment:
    """Something to do, and how much time passes between two times."""

    name: str
    interval: timedelta
    act: Callable[[], object]


_appointments: dict[str, Appointment] = {}


def every(interval: timedelta) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Have the worker call the function again and again; it may be repeated without harm."""

    def note(act: Callable[[], object]) -> Callable[[], object]:
        name = f"{act.__module__.removeprefix('cryocloud.web.')}.{act.__name__}"
        _appointments[name] = Appointment(name, interval, act)
        return act

    return note


def appointments() -> list[Appointment]:
    return list(_appointments.values())


def keep_appointments() -> None:
    """Do what is due. The lease of an appointment runs until the next time, and nobody renews it."""
    for one in appointments():
        owner, lease = new_id(), f"every:{one.name}"[:64]
        if take_lease(lease, owner, one.interval) is None:
            continue
        try:
            one.act()
        except Exception:
            _log.exception("appointment failed", extra={"appointment": one.name})
            Lease.objects.filter(name=lease, owner=owner).update(expires_at=now() + min(RETRY, one.interval))
