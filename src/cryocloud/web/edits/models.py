"""What people change in results by hand: a draft while they draw, and what a job was given of it."""

from __future__ import annotations

from django.db import models

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import TenantRecord
from cryocloud.web.projects.models import Project

KIND_LENGTH = 12


class Draft(TenantRecord):
    """One person's edits of one result, saved as they are made. ``version`` counts the savings.

    ``source_id`` is the job whose result is edited; ``content`` holds ``edits`` as the catalog describes them, and
    ``settings``, what stood in the controls.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="drafts")
    source_id = models.CharField(max_length=ID_LENGTH)
    user_id = models.CharField(max_length=ID_LENGTH)
    kind = models.CharField(max_length=KIND_LENGTH)
    version = models.PositiveIntegerField(default=0)
    content = models.JSONField(default=dict)
    changed_at = models.DateTimeField(default=now)

    class Meta(TenantRecord.Meta):
        constraints = (
            models.UniqueConstraint(fields=["user_id", "source_id", "kind"], name="one_draft_a_person"),
        )


class KeptEdits(TenantRecord):
    """Edits that an order reads; they never change."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="kept_edits")
    kind = models.CharField(max_length=KIND_LENGTH)
    content = models.JSONField()
    created_by_id = models.CharField(max_length=ID_LENGTH)
