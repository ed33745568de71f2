"""Results count as storage of their organization."""

from __future__ import annotations

from django.db.models import Sum

from cryocloud.web.results.models import Artifact


def result_bytes(organization_id: str) -> int:
    own = Artifact.unscoped.filter(organization_id=organization_id)
    return own.aggregate(sum=Sum("size_bytes"))["sum"] or 0
