"""Uploaded files: bytes at rest, the dataset that names them, and transfers in progress."""

from __future__ import annotations

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import DeletableRecord, TenantRecord

PATH_LENGTH = 500


class StoredObject(TenantRecord):
    """Bytes at rest under an opaque key, never shared between organizations."""

    key = models.CharField(max_length=80, unique=True)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta(TenantRecord.Meta):
        # Each announcement counts and sums these; the index holds all that takes.
        indexes = (models.Index(fields=["organization", "size_bytes"]),)


class Dataset(TenantRecord):
    """Input files of an organization, used by any of its projects. ``profile`` is the microscope's (catalog names)."""

    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, max_length=4000)
    profile = models.JSONField(default=dict)
    is_sample = models.BooleanField(default=False)
    created_by_id = models.CharField(max_length=ID_LENGTH)
    trashed_at = models.DateTimeField(null=True, blank=True)
    purge_ordered_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantRecord.Meta):
        indexes = (models.Index(fields=["organization", "-created_at"]),)

    def __str__(self) -> str:
        return self.name


class DatasetFile(DeletableRecord):
    """One file under its original relative path. ``header`` is what the inspection read from it."""

    class State(models.TextChoices):
        UNREAD = "unread", "not read yet"
        READ = "read"
        DAMAGED = "damaged"
        OTHER = "other", "kept as it is"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="files")
    path = models.CharField(max_length=PATH_LENGTH)
    stored = models.OneToOneField(StoredObject, on_delete=models.PROTECT, related_name="file")
    state = models.CharField(max_length=8, choices=State, default=State.UNREAD)
    header = models.JSONField(default=dict)
    problem = models.CharField(max_length=500, blank=True)
    has_preview = models.BooleanField(default=False)

    class Meta(DeletableRecord.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=["dataset", "path"], condition=models.Q(deletion_id=""), name="one_file_a_path"
            ),
        )
        indexes = (
            models.Index(
                fields=["organization", "created_at"], condition=models.Q(state="unread"), name="unread_files"
            ),
        )

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Upload(TenantRecord):
    """A file on its way in. How much has been received is the length of its partial file, and nothing else.

    ``source`` is the file on the server that it is copied from; empty for what comes over the network.
    """

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        ABORTED = "aborted"

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="uploads")
    path = models.CharField(max_length=PATH_LENGTH)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True)
    source = models.CharField(max_length=4096, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    problem = models.CharField(max_length=500, blank=True)
    created_by_id = models.CharField(max_length=ID_LENGTH)
    expires_at = models.DateTimeField()

    class Meta(TenantRecord.Meta):
        indexes = (
            models.Index(fields=["dataset", "state", "path"]),
            models.Index(fields=["state"]),
            models.Index(fields=["organization", "state", "size_bytes"]),
        )
