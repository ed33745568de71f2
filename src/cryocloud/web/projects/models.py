from __future__ import annotations

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import DeletableRecord


class Project(DeletableRecord):
    """Holds runs and jobs; the unit that is shared.

    ``compute_cap_s`` is what all its attempts together may be billed; None: no cap.
    """

    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, max_length=4000)
    created_by_id = models.CharField(max_length=ID_LENGTH)
    archived_at = models.DateTimeField(null=True, blank=True)
    compute_cap_s = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta(DeletableRecord.Meta):
        indexes = (models.Index(fields=["organization", "-created_at"]),)

    def __str__(self) -> str:
        return self.name
