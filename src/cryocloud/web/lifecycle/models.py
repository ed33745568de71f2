from __future__ import annotations

from django.db import models

from cryocloud.web.core.models import TenantRecord


class Letter(TenantRecord):
    """That the owners were written to of one thing; the key says of which, so that none is written twice."""

    key = models.CharField(max_length=120)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["organization", "key"], name="one_letter_a_key"),)
