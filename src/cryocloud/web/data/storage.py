"""How much an organization keeps, against what its plan holds."""

from __future__ import annotations

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Sum

from cryocloud.web.configuration import configuration
from cryocloud.web.core.errors import Forbidden, QuotaExceeded
from cryocloud.web.data.models import StoredObject, Upload
from cryocloud.web.data.usage import further_bytes
from cryocloud.web.organizations.models import Organization


def storage_used_bytes(organization: Organization) -> int:
    """Bytes at rest (the trash included, the sample not), results, and what open uploads have announced."""
    own = StoredObject.unscoped.filter(organization=organization).exclude(file__dataset__is_sample=True)
    stored = own.aggregate(sum=Sum("size_bytes"))["sum"]
    arriving = Upload.unscoped.filter(organization=organization, state=Upload.State.OPEN)
    announced = arriving.aggregate(sum=Sum("size_bytes"))["sum"]
    return (stored or 0) + (announced or 0) + further_bytes(organization.id)


def storage_limit_bytes(organization: Organization) -> int:
    return configuration().trial_storage_bytes


def reserve_storage(organization_id: str, size_bytes: int) -> None:
    """Raise unless that many bytes more fit; the caller's transaction holds the organization until it has used them."""
    organization = Organization.objects.select_for_update().get(pk=organization_id)
    if organization.state not in (Organization.State.TRIAL, Organization.State.ACTIVE):
        raise Forbidden("The trial of this organization has ended: its data can be read, but nothing added.")
    limit_bytes = storage_limit_bytes(organization)
    left_bytes = limit_bytes - storage_used_bytes(organization)
    if size_bytes > left_bytes:
        raise QuotaExceeded(
            f"{intcomma(size_bytes)} bytes do not fit: {intcomma(max(0, left_bytes))} of the plan's "
            f"{intcomma(limit_bytes)} bytes are left. Delete datasets and empty the trash, or ask for more storage."
        )
