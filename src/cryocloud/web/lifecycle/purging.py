"""When data of a closed organization are due to be erased, and who erases them: an app that registers for it."""

from __future__ import annotations

from collections.abc import Callable

from cryocloud.web.core.clock import now
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import CLOCK, PURGE_AFTER, State, move

_erasers: list[Callable[[str], None]] = []


def register_purge(erase: Callable[[str], None]) -> None:
    """``erase(organization_id)`` removes what it knows of, may be repeated, and raises while something is left."""
    _erasers.append(erase)


def purge_due() -> list[str]:
    """Organizations whose data are due to be erased now; none while nobody erases."""
    if not _erasers:
        return []
    closed = Organization.objects.filter(state=State.CLOSED, state_since__lte=now() - PURGE_AFTER)
    return list(closed.values_list("pk", flat=True))


def purge(organization_id: str) -> None:
    for erase in _erasers:
        erase(organization_id)
    move(organization_id, State.PURGED, reason="The data were erased.", actor_id=CLOCK)
