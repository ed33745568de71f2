"""Base of all models that belong to an organization, and the tables of the platform's own housekeeping."""

from __future__ import annotations

from typing import ClassVar, Self, TypeVar

from django.db import models

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH, new_id

_Row_co = TypeVar("_Row_co", bound=models.Model, covariant=True)


class Record(models.Model):
    """A row with an opaque id and its time of making."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        abstract = True


class TenantRecord(Record):
    """A row of one organization.

    Reached through ``organizations.access`` only. There is no ``objects``: whoever must cross organizations
    (scheduler, worker, a service that has been through the door) writes ``unscoped``, which a check counts.
    """

    organization = models.ForeignKey("organizations.Organization", on_delete=models.PROTECT, related_name="+")

    unscoped = models.Manager()

    class Meta:
        abstract = True
        default_manager_name = "unscoped"


class KeptManager(models.Manager[_Row_co]):
    """Rows that are not in the trash."""

    def get_queryset(self) -> models.QuerySet[_Row_co]:
        return super().get_queryset().filter(deletion_id="")


class DeletableRecord(TenantRecord):
    """A row that can lie in the trash: ``deletion_id`` names the deletion that took it there.

    Then neither the door nor any relation finds it, so that no list, page or count has to think of the trash. Only
    who must see all of them, such as the trash itself, writes ``with_trash``.
    """

    deletion_id = models.CharField(
        max_length=ID_LENGTH, blank=True, default="", db_index=True, editable=False
    )

    unscoped: ClassVar[KeptManager[Self]] = KeptManager()
    with_trash = models.Manager()

    class Meta(TenantRecord.Meta):
        abstract = True


class Event(models.Model):
    """Something that open pages want to hear of; ids grow, so a reader can go on after the last it saw."""

    id = models.BigAutoField(primary_key=True)
    organization_id = models.CharField(max_length=ID_LENGTH)
    topic = models.CharField(max_length=64)
    kind = models.CharField(max_length=32)
    content = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now)

    class Meta:
        indexes = (models.Index(fields=["topic", "id"]),)


class Lease(models.Model):
    """Who may do something alone, until when. ``fence`` grows with every change of hands."""

    name = models.CharField(primary_key=True, max_length=64)
    owner = models.CharField(max_length=ID_LENGTH)
    fence = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField()


class Count(models.Model):
    """How often something was done in a window that ends; the key is a hash, since it is made of people's addresses."""

    key = models.CharField(primary_key=True, max_length=64)
    used = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)


class BackgroundTask(models.Model):
    """A call that the worker makes; a lease says who has it in hand, so that a killed worker loses nothing."""

    class State(models.TextChoices):
        READY = "ready"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    path = models.CharField(max_length=200)
    organization_id = models.CharField(max_length=ID_LENGTH, blank=True)
    arguments = models.JSONField()
    state = models.CharField(max_length=8, choices=State, default=State.READY)
    priority = models.SmallIntegerField(default=0)
    run_after = models.DateTimeField(default=now)
    tries = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=ID_LENGTH, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["state", "run_after"]),)
