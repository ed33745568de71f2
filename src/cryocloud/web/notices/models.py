"""What people and programs hear of: occasions, a notice of each for everybody it concerns, and calls of webhooks."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from cryocloud.catalog.metrics import spoken_number
from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import DeletableRecord, TenantRecord
from cryocloud.web.projects.models import Project


class Occasion(DeletableRecord):
    """Something that happened once. It is told in the words of its moment: what it is about may change.

    With what it is about it goes to the trash, comes back, and is deleted for good.
    """

    class Kind(models.TextChoices):
        DONE = "done"
        FAILED = "failed"
        NEEDS_YOU = "needs_you", "needs you"
        LETTER = "letter"

    class Subject(models.TextChoices):
        RUN = "run"
        JOB = "job"
        WEBHOOK = "webhook"
        ORGANIZATION = "organization"

    ADDRESSES: ClassVar[dict[str, str]] = {
        Subject.RUN: "/runs/{}/",
        Subject.JOB: "/jobs/{}/",
        Subject.WEBHOOK: "/organization/webhook/",
        Subject.ORGANIZATION: "/organization/",
    }
    STATES: ClassVar[dict[str, str]] = {
        "done": "Done",
        "exceptions": "Done, with exceptions",
        "doubtful": "Done, not to be trusted",
        "control": "Done, a control",
        "failed": "Failed",
        "waiting": "Needs you",
        "off": "Switched off",
        "letter": "",
    }

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+", null=True)
    kind = models.CharField(max_length=12, choices=Kind)
    subject = models.CharField(max_length=12, choices=Subject)
    subject_id = models.CharField(max_length=ID_LENGTH)
    title = models.CharField(max_length=120)
    standing = models.CharField(max_length=12)
    resolution_angstrom = models.FloatField(null=True)
    message = models.TextField(blank=True)
    path = models.CharField(max_length=200, blank=True)

    @property
    def address(self) -> str:
        """Where the page of its subject is, below the address of the platform."""
        return self.path or self.ADDRESSES[self.subject].format(self.subject_id)

    @property
    def state_words(self) -> str:
        return self.STATES[self.standing]

    @property
    def resolution(self) -> str:
        """As "3.94 Å"; empty where there is none."""
        if self.resolution_angstrom is None:
            return ""
        return spoken_number("resolution_angstrom", self.resolution_angstrom).text


class Notice(TenantRecord):
    """That a person is told of an occasion: on the pages, and by mail; without a person, by a mail to ``email``.

    A mail is ``sending`` from before its first byte until the server has answered. One that is found so was cut off in
    between; nobody can know whether it went out, and it is not sent again.
    """

    class Mail(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        SENT = "sent"
        UNSURE = "unsure"
        UNWANTED = "unwanted"
        GIVEN_UP = "given_up"

    occasion = models.ForeignKey(Occasion, on_delete=models.CASCADE, related_name="notices")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", null=True)
    email = models.EmailField(blank=True)
    read_at = models.DateTimeField(null=True)
    mail = models.CharField(max_length=8, choices=Mail, default=Mail.WAITING)
    mail_tries = models.PositiveSmallIntegerField(default=0)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["occasion", "user"], name="one_notice_a_person"),)
        indexes = (models.Index(fields=["user", "read_at"]),)


class MailChoice(models.Model):
    """Of which kinds of occasions a person wants mails; who has chosen nothing gets all."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    done = models.BooleanField(default=True)
    failed = models.BooleanField(default=True)
    needs_you = models.BooleanField(default=True)


class ProjectChoice(TenantRecord):
    """A person hears of everything in a project, or of nothing; without a choice, of what they started."""

    class Choice(models.TextChoices):
        FOLLOW = "follow"
        MUTE = "mute"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    choice = models.CharField(max_length=8, choices=Choice)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["project", "user"], name="one_choice_a_project"),)


class Webhook(TenantRecord):
    """Where an organization wants to be called. The secret signs, so it is kept: encrypted, and shown once."""

    url = models.CharField(max_length=500)
    sealed_secret = models.TextField()
    is_on = models.BooleanField(default=True)
    failing_since = models.DateTimeField(null=True)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["organization"], name="one_webhook"),)


class Call(TenantRecord):
    """One message for a webhook, called again until it answers or is given up; ``occasion`` is None for a test."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        GIVEN_UP = "given_up", "given up"

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="calls")
    occasion = models.ForeignKey(Occasion, on_delete=models.CASCADE, related_name="+", null=True)
    body = models.TextField()
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    answer = models.CharField(max_length=200, blank=True)
    last_tried_at = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField(null=True)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["webhook", "occasion"], name="one_call_an_occasion"),)
        indexes = (models.Index(fields=["webhook", "-created_at"]),)

    @property
    def message_id(self) -> str:
        """The same at each try, so that whoever is called can tell repetitions."""
        return f"msg_{self.pk}"
