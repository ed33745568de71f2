"""Results count as storage of their organization, in the trash too."""

from __future__ import annotations

from django.db.models import Sum

from cryocloud.web.results.models import Artifact


def result_bytes(organization_id: str) -> int:
    own = Artifact.with_trash.filter(organization_id=organization_id)
    return own.aggregate(sum=Sum("size_bytes"))["sum"] or 0
