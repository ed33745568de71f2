"""Whether the platform can do its work: each check says in words what is wrong, and nothing secret."""

from __future__ import annotations

from django.db import DatabaseError, transaction

from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import room
from cryocloud.web.core.models import Lease

PROCESSES = ("scheduler", "worker")


def problems() -> dict[str, str]:
    """Name of each failed check and its reason; empty if all is well."""
    try:
        found = _stale_processes() | _unwritable_database()
    except DatabaseError as error:
        found = {"database": f"cannot be used: {type(error).__name__}"}
    return found | _low_disk()


def _unwritable_database() -> dict[str, str]:
    """A write that is rolled back; an error reaches the caller."""
    with transaction.atomic():
        Lease.objects.create(name="health", owner="health", expires_at=now())
        transaction.set_rollback(True)
    return {}


def _stale_processes() -> dict[str, str]:
    fresh = set(Lease.objects.filter(name__in=PROCESSES, expires_at__gt=now()).values_list("name", flat=True))
    return {name: "does not run, or hangs; see its log" for name in PROCESSES if name not in fresh}


def _low_disk() -> dict[str, str]:
    try:
        shortage = room().shortage
    except OSError as error:
        return {"disk": f"the home cannot be read: {error.strerror}"}
    return {"disk": shortage} if shortage else {}
