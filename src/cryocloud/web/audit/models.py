"""Who did what to which object, and when. Rows are only ever added."""

from __future__ import annotations

from django.db import models

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH, new_id


class AuditEvent(models.Model):
    """Ids instead of foreign keys: what is deleted later must not take its history along."""

    id = models.BigAutoField(primary_key=True)
    organization_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    actor_id = models.CharField(max_length=ID_LENGTH, blank=True)
    via = models.CharField(max_length=16)
    verb = models.CharField(max_length=48)
    object_type = models.CharField(max_length=32)
    object_id = models.CharField(max_length=ID_LENGTH)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now)


class Tombstone(models.Model):
    """Something that was taken away for good; ``is_written`` once it stands in the file outside of the database."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    kind = models.CharField(max_length=24)
    object_id = models.CharField(max_length=ID_LENGTH)
    detail = models.JSONField(default=dict)
    is_written = models.BooleanField(default=False, db_index=True)
    created_at = models.DateTimeField(default=now)
