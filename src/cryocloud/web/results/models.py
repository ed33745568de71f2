from __future__ import annotations

from django.db import models

from cryocloud.web.core.models import TenantRecord
from cryocloud.web.runs.models import Attempt, Job


class Artifact(TenantRecord):
    """An immutable file that a job left: ``results/JOB/ATTEMPT/path`` in the home."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="artifacts")
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="artifacts")
    path = models.CharField(max_length=500)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["attempt", "path"], name="one_artifact_a_path"),)
