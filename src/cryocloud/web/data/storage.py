"""How much an organization keeps, against what its plan holds: bytes, and files, because empty ones take room too."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Sum

from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import require_room
from cryocloud.web.core.errors import QuotaExceeded, TakesNothing
from cryocloud.web.data.models import StoredObject, Upload
from cryocloud.web.data.usage import further_bytes
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.metering.storage_hours import is_noted, note_hour
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.state_words import why_nothing_added
from cryocloud.web.organizations.states import State, standing

PAID_UP_TO = 2
"""Times what a plan with a price for storage includes: to there it is paid for, beyond nothing is written."""
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


def sample_storage_of(organization: Organization) -> None:
    """What is kept at this full hour, with the hours that were missed before it."""
    moment = now()
    if not is_noted(organization.pk, moment):
        note_hour(organization.pk, moment, storage_used(organization).size_bytes)


@dataclass(frozen=True)
class StorageLimit:
    """What an organization may keep; None where there is no limit."""

    files: int | None
    size_bytes: int | None


def storage_limit(organization: Organization) -> StorageLimit:
    """As the trial or the plan says, more than a plan includes if that has a price; or as an operator has set it."""
    given = allowance(organization)
    of_plan = StorageLimit(None, None)
    if given is not None:
        is_paid = (
            given.storage_cents_a_terabyte_month is not None and standing(organization).state == State.ACTIVE
        )
        of_plan = StorageLimit(given.files, given.storage_bytes * (PAID_UP_TO if is_paid else 1))
    by_hand = StorageLimit(organization.files_max, organization.storage_bytes_max)
    return StorageLimit(
        of_plan.files if by_hand.files is None else by_hand.files,
        of_plan.size_bytes if by_hand.size_bytes is None else by_hand.size_bytes,
    )


def require_free_storage(organization: Organization) -> None:
    """Refuse work that writes where everything that may be kept is kept."""
    limit, used = storage_limit(organization), storage_used(organization)
    if limit.size_bytes is not None and used.size_bytes >= limit.size_bytes:
        raise QuotaExceeded(
            f"{intcomma(used.size_bytes)} bytes are kept, and the plan holds {intcomma(limit.size_bytes)}. {_REMEDY}"
        )


def reserve_storage(organization_id: str, *, files: int, size_bytes: int) -> None:
    """Raise unless that much more fits; the caller's transaction holds the organization until it has used it."""
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    found = standing(organization)
    if not found.may_add or found.is_under_review:
        raise TakesNothing(why_nothing_added(organization, found))
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
