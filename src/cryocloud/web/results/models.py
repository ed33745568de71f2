from __future__ import annotations

from typing import ClassVar

from django.db import models

from cryocloud.web.core.models import TenantRecord
from cryocloud.web.runs.models import Attempt, Job


class KeptArtifacts(models.Manager["Artifact"]):
    """Those of jobs that are not in the trash."""

    def get_queryset(self) -> models.QuerySet[Artifact]:
        return super().get_queryset().filter(job__deletion_id="")


class Artifact(TenantRecord):
    """An immutable file that a job left: ``results/JOB/ATTEMPT/path`` in the home."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="artifacts")
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="artifacts")
    path = models.CharField(max_length=500)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    unscoped: ClassVar[KeptArtifacts] = KeptArtifacts()
    with_trash = models.Manager()

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["attempt", "path"], name="one_artifact_a_path"),)
