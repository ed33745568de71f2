"""How much an organization keeps, against what its plan holds: bytes, and files, because empty ones take room too."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Sum

from cryocloud.web.configuration import configuration
from cryocloud.web.core.disk_room import require_room
from cryocloud.web.core.errors import Forbidden, QuotaExceeded
from cryocloud.web.data.models import StoredObject, Upload
from cryocloud.web.data.usage import further_bytes
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import standing

_REMEDY = "Delete what you no longer need and empty the trash, or ask for more storage."


@dataclass(frozen=True)
class Storage:
    """What an organization keeps."""

    files: int
    size_bytes: int


def storage_used(organization: Organization) -> Storage:
    """Files at rest (the trash included, the sample not), what open uploads have announced, and bytes of results."""
    own = StoredObject.unscoped.filter(organization=organization)
    # Subtracted rather than left out, so that the whole is summed within an index.
    parts = (
        (own, 1),
        (own.filter(file__dataset__is_sample=True), -1),
        (Upload.unscoped.filter(organization=organization, state=Upload.State.OPEN), 1),
    )
    files, size_bytes = 0, further_bytes(organization.id)
    for rows, sign in parts:
        found = rows.aggregate(files=Count("pk"), size_bytes=Sum("size_bytes", default=0))
        files += sign * found["files"]
        size_bytes += sign * found["size_bytes"]
    return Storage(files, size_bytes)


@dataclass(frozen=True)
class StorageLimit:
    """What an organization may keep; None where there is no limit."""

    files: int | None
    size_bytes: int | None


def storage_limit(organization: Organization) -> StorageLimit:
    of_plan = StorageLimit(None, None)
    if organization.state != Organization.State.ACTIVE:
        of_plan = StorageLimit(configuration().trial_files, configuration().trial_storage_bytes)
    by_hand = StorageLimit(organization.files_max, organization.storage_bytes_max)
    return StorageLimit(
        of_plan.files if by_hand.files is None else by_hand.files,
        of_plan.size_bytes if by_hand.size_bytes is None else by_hand.size_bytes,
    )


def reserve_storage(organization_id: str, *, files: int, size_bytes: int) -> None:
    """Raise unless that much more fits; the caller's transaction holds the organization until it has used it."""
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    if not standing(organization).may_compute:
        raise Forbidden("The trial of this organization has ended: its data can be read, but nothing added.")
    require_room()
    limit, used = storage_limit(organization), storage_used(organization)
    left_files, left_bytes = _left(limit.files, used.files), _left(limit.size_bytes, used.size_bytes)
    if left_files is not None and files > left_files:
        raise QuotaExceeded(
            f"{intcomma(files)} {'file does' if files == 1 else 'files do'} not fit: {intcomma(left_files)} of the "
            f"plan's {intcomma(limit.files)} files are left, empty ones included. {_REMEDY}"
        )
    if left_bytes is not None and size_bytes > left_bytes:
        raise QuotaExceeded(
            f"{intcomma(size_bytes)} bytes do not fit: {intcomma(left_bytes)} of the plan's "
            f"{intcomma(limit.size_bytes)} bytes are left. {_REMEDY}"
        )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)
