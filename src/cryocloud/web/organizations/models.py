"""Organizations own data and pay; people belong to them with a role."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import Record, TenantRecord


class Role(models.IntegerChoices):
    """What a member may do; each includes those before it."""

    VIEWER = 10, "viewer"
    EDITOR = 20, "editor"
    ADMIN = 30, "admin"
    OWNER = 40, "owner"


class Organization(Record):
    """The tenant. The figures are limits that an operator has set by hand; None: as the plan says."""

    class State(models.TextChoices):
        TRIAL = "trial"
        ACTIVE = "active"
        TRIAL_ENDED = "trial_ended"
        CLOSED = "closed"

    OPEN = (State.TRIAL, State.ACTIVE)

    name = models.CharField(max_length=120)
    state = models.CharField(max_length=12, choices=State, default=State.TRIAL)
    trial_started_at = models.DateTimeField(default=now)
    compute_hours_max = models.PositiveIntegerField(null=True, blank=True)
    storage_bytes_max = models.PositiveBigIntegerField(null=True, blank=True)
    files_max = models.PositiveBigIntegerField(null=True, blank=True)
    slots_max = models.PositiveSmallIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Membership(TenantRecord):
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.PositiveSmallIntegerField(choices=Role)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["organization", "user"], name="one_membership"),)


class Invitation(TenantRecord):
    """A membership offered to an address; only the hash of the mailed secret is kept."""

    email = models.EmailField()
    role = models.PositiveSmallIntegerField(choices=Role)
    secret_hash = models.CharField(max_length=64, unique=True)
    invited_by_id = models.CharField(max_length=ID_LENGTH)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
