"""Who did what to which object, and when. Rows are only ever added."""

from __future__ import annotations

from django.db import models

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH


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
