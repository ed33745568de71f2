"""Leases: one owner at a time, and a number that tells a late owner that it has been replaced."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from cryocloud.web.core.clock import now
from cryocloud.web.core.models import Lease


def take_lease(name: str, owner: str, duration: timedelta) -> int | None:
    """Take or renew; the fence number, or None while another owner's lease runs."""
    with transaction.atomic():
        moment = now()
        lease, _ = Lease.objects.select_for_update(no_key=True).get_or_create(
            name=name, defaults={"owner": owner, "fence": 1, "expires_at": moment + duration}
        )
        if lease.owner != owner:
            if lease.expires_at > moment:
                return None
            lease.owner, lease.fence = owner, lease.fence + 1
        lease.expires_at = moment + duration
        lease.save()
        return lease.fence


def holds_lease(name: str, owner: str, fence: int) -> bool:
    """Whether that owner with that fence is still the one; ask inside the transaction that acts on it."""
    held = Lease.objects.select_for_update(no_key=True).filter(name=name, owner=owner, fence=fence)
    return held.first() is not None


def wait_in_line(name: str) -> None:
    """In a transaction: whoever else waits under this name goes on after its end."""
    Lease.objects.get_or_create(name=name, defaults={"owner": "", "expires_at": now()})
    Lease.objects.select_for_update(no_key=True).get(name=name)


def drop_lease(name: str, owner: str) -> None:
    """Let the next one start without waiting."""
    Lease.objects.filter(name=name, owner=owner).update(expires_at=now())
