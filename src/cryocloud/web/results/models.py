from __future__ import annotations

from typing import ClassVar

from django.db import models

from cryocloud.web.core.models import DeletableRecord, KeptManager
from cryocloud.web.runs.models import Attempt, Job


class KeptArtifacts(KeptManager["Artifact"]):
    """Neither in the trash themselves nor of a job that is."""

    def get_queryset(self) -> models.QuerySet[Artifact]:
        return super().get_queryset().filter(job__deletion_id="")


class Artifact(DeletableRecord):
    """An immutable file that a job left: ``results/JOB/ATTEMPT/path`` in the home."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="artifacts")
    attempt = models.ForeignKey(Attempt, on_delete=models.PROTECT, related_name="artifacts")
    path = models.CharField(max_length=500)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    unscoped: ClassVar[KeptArtifacts] = KeptArtifacts()

    class Meta(DeletableRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["attempt", "path"], name="one_artifact_a_path"),)
