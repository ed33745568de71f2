"""What is kept, hour by hour: a sample at each full hour, for storage that is paid by the time it is used."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from cryocloud.web.metering.models import StorageHour
from cryocloud.web.organizations.models import Organization

HOUR = timedelta(hours=1)


def full_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def is_noted(organization_id: str, moment: datetime) -> bool:
    return StorageHour.unscoped.filter(organization_id=organization_id, hour=full_hour(moment)).exists()


@transaction.atomic
def note_hour(organization_id: str, moment: datetime, size_bytes: int) -> int:
    """The sample of this hour, if there is none yet; how many were added.

    Hours that were missed meanwhile, while the platform stood still, get the smaller of their two neighbors.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    hour = full_hour(moment)
    own = StorageHour.unscoped.filter(organization_id=organization_id)
    before = own.filter(hour__lte=hour).order_by("-hour").first()
    if before is not None and before.hour == hour:
        return 0
    missed = 0 if before is None else (hour - before.hour) // HOUR - 1
    lower = size_bytes if before is None else min(size_bytes, before.size_bytes)
    samples = [
        StorageHour(organization_id=organization_id, hour=hour - back * HOUR, size_bytes=lower)
        for back in range(missed, 0, -1)
    ]
    samples.append(StorageHour(organization_id=organization_id, hour=hour, size_bytes=size_bytes))
    StorageHour.unscoped.bulk_create(samples, batch_size=500)
    return len(samples)
