from __future__ import annotations

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import TenantRecord


class Deletion(TenantRecord):
    """What went to the trash at once, and comes back at once: the rows that carry its id as ``deletion_id``.

    ``target_id`` is the project, run or job that somebody deleted, or the dataset or the job whose files they are.
    """

    class Kind(models.TextChoices):
        PROJECT = "project"
        RUN = "run"
        JOB = "job"
        FILES = "files"
        SPACE = "space"

    kind = models.CharField(max_length=8, choices=Kind)
    target_id = models.CharField(max_length=ID_LENGTH, db_index=True)
    project_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    title = models.CharField(max_length=200)
    place = models.CharField(max_length=200, blank=True)
    jobs = models.PositiveIntegerField()
    files = models.PositiveIntegerField()
    size_bytes = models.BigIntegerField()
    created_by_id = models.CharField(max_length=ID_LENGTH)
    purge_ordered_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.title
