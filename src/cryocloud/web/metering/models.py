from __future__ import annotations

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import Record, TenantRecord


class UsageRecord(TenantRecord):
    """What one attempt used; the attempt's id is unique, so that nothing counts twice.

    Rows are only ever added, and the database refuses anything else. Project, run and job are plain ids: the line stays
    when they are deleted. It was at work from ``from_s`` up to, not including, ``until_s`` on the steady clock of the
    computer since the boot ``boot_id``; records from before that was kept have no boot. ``cause`` says how it came to
    its end, ``is_fault`` that the platform is to blame and nothing is billed.

    ``counted_*`` is what its job type had counted for the whole job, for forecasts to learn from; with revision 0 the
    attempt was no whole job, or nothing had been foreseen.
    """

    class Cause(models.TextChoices):
        DONE = "done", "finished"
        BAD_INPUT = "bad_input", "its input cannot be used"
        FAULT = "fault", "a fault of the program, or killed"
        MEMORY = "memory", "more memory than it may use"
        LIMIT = "limit", "more processor time or processes than it may use"
        DISK = "disk", "the disk of the server was full"
        CANCELLED = "cancelled", "somebody stopped it"
        QUOTA = "quota", "no compute was left"
        CAP = "cap", "the cap of its project or run was reached"
        LOST = "lost", "the computer stopped working on it"
        PLATFORM = "platform", "the platform could not start or attend it"

    attempt_id = models.CharField(max_length=ID_LENGTH, unique=True)
    job_id = models.CharField(max_length=ID_LENGTH, blank=True)
    run_id = models.CharField(max_length=ID_LENGTH, blank=True)
    project_id = models.CharField(max_length=ID_LENGTH, blank=True)
    job_type = models.CharField(max_length=40)
    boot_id = models.CharField(max_length=40, blank=True)
    from_s = models.FloatField(default=0.0)
    until_s = models.FloatField(default=0.0)
    wall_s = models.FloatField()
    cpu_s = models.FloatField()
    slots = models.PositiveSmallIntegerField(default=1)
    gpus = models.PositiveSmallIntegerField(default=0)
    gpu_class = models.CharField(max_length=80, blank=True)
    peak_memory_bytes = models.BigIntegerField()
    read_bytes = models.BigIntegerField(default=0)
    written_bytes = models.BigIntegerField(default=0)
    billed_s = models.BigIntegerField()
    ended = models.CharField(max_length=12)
    exit_code = models.IntegerField(null=True)
    cause = models.CharField(max_length=12, choices=Cause, blank=True)
    is_fault = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    counted_revision = models.PositiveIntegerField(default=0)
    counted_cpu_s = models.FloatField(default=0.0)
    counted_wall_s = models.FloatField(default=0.0)
    counted_memory_bytes = models.FloatField(default=0.0)

    class Meta(TenantRecord.Meta):
        indexes = (
            models.Index(fields=["counted_revision", "ended", "-finished_at"], name="usage_to_learn_from"),
            models.Index(fields=["organization", "finished_at"], name="usage_of_a_span"),
            models.Index(fields=["project_id"], name="usage_of_a_project"),
            models.Index(fields=["run_id"], name="usage_of_a_run"),
        )


class Reservation(TenantRecord):
    """Compute granted to an attempt that has not ended, in seconds of slots; it goes when the usage record comes.

    ``used_s`` is what it has measured so far, at most ``granted_s`` of which is billed.
    """

    attempt_id = models.CharField(max_length=ID_LENGTH, unique=True)
    run_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    project_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    slots = models.PositiveSmallIntegerField(default=1)
    granted_s = models.BigIntegerField()
    used_s = models.FloatField(default=0.0)


class StorageHour(TenantRecord):
    """What an organization kept at a full hour (UTC)."""

    hour = models.DateTimeField()
    size_bytes = models.BigIntegerField()

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["organization", "hour"], name="one_sample_an_hour"),)


class Reconciliation(Record):
    """One night's comparison of what is counted as storage with what lies in the store.

    ``differences`` are the first of those ``differing``, each with organization, name, counted and found bytes; found
    is None for what is not there.
    """

    finished_at = models.DateTimeField()
    files = models.BigIntegerField()
    counted_bytes = models.BigIntegerField()
    found_bytes = models.BigIntegerField()
    differing = models.PositiveIntegerField()
    differences = models.JSONField(default=list)

    class Meta:
        indexes = (models.Index(fields=["-finished_at"]),)


class Allowance(TenantRecord):
    """What a plan gives from one moment up to, not including, another; spans of an organization never overlap.

    An attempt counts in the span in which it ends. Rates are cents for a slot's hour and for 10^12 bytes kept 30 days;
    None: work stops at what is included. ``spending_limit_cents`` is what the owner lets the span cost beyond that.
    """

    from_at = models.DateTimeField()
    until_at = models.DateTimeField()
    plan_code = models.CharField(max_length=40)
    plan_name = models.CharField(max_length=60)
    compute_s = models.BigIntegerField()
    storage_bytes = models.BigIntegerField()
    files = models.BigIntegerField(null=True)
    slots = models.PositiveSmallIntegerField(null=True)
    compute_cents_an_hour = models.PositiveIntegerField(null=True)
    storage_cents_a_terabyte_month = models.PositiveIntegerField(null=True)
    spending_limit_cents = models.PositiveBigIntegerField(default=0)

    class Meta(TenantRecord.Meta):
        indexes = (models.Index(fields=["organization", "from_at"]),)
