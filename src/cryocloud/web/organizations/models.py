"""Organizations own data and pay; people belong to them with a role."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models

from cryocloud.web.configuration import configuration
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
    """The tenant. The figures are limits that an operator has set by hand; None: as the plan says.

    ``state`` is as it was last written down, ``organizations.states.standing`` tells what holds at this second;
    ``state_until`` is the moment at which the clock alone will change it. A trial under review has not begun.
    """

    class State(models.TextChoices):
        TRIAL = "trial"
        TRIAL_ENDED = "trial_ended", "trial ended"
        ACTIVE = "active"
        PAST_DUE = "past_due", "payment overdue"
        ENDED = "ended"
        RETRIEVAL = "retrieval"
        CLOSED = "closed"
        PURGED = "purged"

    name = models.CharField(max_length=120)
    state = models.CharField(max_length=12, choices=State, default=State.TRIAL)
    state_since = models.DateTimeField(default=now)
    state_until = models.DateTimeField(null=True, blank=True)
    trial_started_at = models.DateTimeField(default=now)
    is_under_review = models.BooleanField(default=False)
    compute_hours_max = models.PositiveIntegerField(null=True, blank=True)
    storage_bytes_max = models.PositiveBigIntegerField(null=True, blank=True)
    files_max = models.PositiveBigIntegerField(null=True, blank=True)
    slots_max = models.PositiveSmallIntegerField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=["state_until"]),)

    def __str__(self) -> str:
        return self.name

    def save(self, *arguments: Any, **options: Any) -> None:
        """A new organization in its trial gets the end of it."""
        begins = self._state.adding and self.state == self.State.TRIAL and not self.is_under_review
        if begins and self.state_until is None:
            self.state_since = self.trial_started_at
            self.state_until = self.trial_started_at + timedelta(days=configuration().trial_days)
        super().save(*arguments, **options)


class StateChange(TenantRecord):
    """One step of an organization from state to state; ``actor_id`` is a person's, or “clock”. Never changed."""

    before = models.CharField(max_length=12, choices=Organization.State)
    after = models.CharField(max_length=12, choices=Organization.State)
    at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    actor_id = models.CharField(max_length=ID_LENGTH)

    class Meta(TenantRecord.Meta):
        indexes = (models.Index(fields=["organization", "at"]),)


class TrialTaken(TenantRecord):
    """Who has begun a trial with an organization: the person, and the hash of their mailbox in its plainest form."""

    person_id = models.CharField(max_length=ID_LENGTH, db_index=True)
    mailbox_hash = models.CharField(max_length=64, db_index=True)


class TrialReview(TenantRecord):
    """A trial that somebody has to look at, because its owner has had one. A decision is never changed."""

    class Decision(models.TextChoices):
        OPEN = "open"
        GRANTED = "granted"
        REFUSED = "refused"
        MOOT = "moot"

    asked_by_id = models.CharField(max_length=ID_LENGTH)
    suspicion = models.CharField(max_length=500)
    decision = models.CharField(max_length=8, choices=Decision, default=Decision.OPEN)
    decided_by_id = models.CharField(max_length=ID_LENGTH, blank=True)
    decided_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["organization"], name="one_review"),)


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
