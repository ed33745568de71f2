"""Mails that came in, what they belong to, and requests for an invitation to the platform."""

from __future__ import annotations

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import Record

ADDRESS_LENGTH = 254
MESSAGE_ID_LENGTH = 255
SUBJECT_LENGTH = 300
NAME_LENGTH = 120


class Thread(Record):
    """Mails of one sender that answer one another. ``kind`` names the box that they came to.

    ``keep_until`` is the last day on which the words are kept; it counts from the day of closing.
    """

    kind = models.CharField(max_length=20)
    sender = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    subject = models.CharField(max_length=SUBJECT_LENGTH, blank=True)
    acknowledged_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    keep_until = models.DateField(null=True, db_index=True)


class Mail(Record):
    """One mail as it was read: its plain text, bounded. Attachments are counted and not kept.

    ``fingerprint`` is of its Message-ID and content, so that a mail that is delivered twice is kept once.
    """

    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="mails")
    fingerprint = models.CharField(max_length=64, unique=True)
    message_id = models.CharField(max_length=MESSAGE_ID_LENGTH, blank=True, db_index=True)
    sender = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    sender_name = models.CharField(max_length=NAME_LENGTH, blank=True)
    recipient = models.CharField(max_length=ADDRESS_LENGTH)
    subject = models.CharField(max_length=SUBJECT_LENGTH, blank=True)
    text = models.TextField(blank=True)
    attachments = models.PositiveIntegerField(default=0)
    is_automatic = models.BooleanField(default=False)
    notes = models.JSONField(default=list)


class InvitationRequest(Record):
    """A person who asks by mail to be invited to the platform."""

    class State(models.TextChoices):
        OPEN = "open"
        INVITED = "invited"
        SET_ASIDE = "set_aside", "set aside"
        SPAM = "spam"

    thread = models.OneToOneField(Thread, on_delete=models.CASCADE, related_name="request")
    email = models.CharField(max_length=ADDRESS_LENGTH, blank=True, db_index=True)
    name = models.CharField(max_length=NAME_LENGTH, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    decided_by_id = models.CharField(max_length=ID_LENGTH, blank=True)

    class Meta:
        indexes = (models.Index(fields=["state", "-created_at"]),)


class SignUpInvitation(Record):
    """An account with an organization of its own, offered to an address; only the hash of the mailed secret is kept."""

    email = models.EmailField()
    secret_hash = models.CharField(max_length=64, unique=True)
    invited_by_id = models.CharField(max_length=ID_LENGTH)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["email", "expires_at"]),)
