from __future__ import annotations

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import TenantRecord


class UsageRecord(TenantRecord):
    """What one attempt used; the attempt's id is unique, so that nothing counts twice. Rows are only ever added.

    ``counted_*`` is what its job type had counted for the whole job, for forecasts to learn from; with revision 0 the
    attempt was no whole job, or nothing had been foreseen.
    """

    attempt_id = models.CharField(max_length=ID_LENGTH, unique=True)
    job_type = models.CharField(max_length=40)
    wall_s = models.FloatField()
    cpu_s = models.FloatField()
    gpus = models.PositiveSmallIntegerField(default=0)
    peak_memory_bytes = models.BigIntegerField()
    billed_s = models.BigIntegerField()
    ended = models.CharField(max_length=12)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    counted_revision = models.PositiveIntegerField(default=0)
    counted_cpu_s = models.FloatField(default=0.0)
    counted_wall_s = models.FloatField(default=0.0)
    counted_memory_bytes = models.FloatField(default=0.0)

    class Meta(TenantRecord.Meta):
        indexes = (
            models.Index(fields=["counted_revision", "ended", "-finished_at"], name="usage_to_learn_from"),
        )


class Reservation(TenantRecord):
    """Compute held for an attempt that has not ended; it goes when the usage record comes."""

    attempt_id = models.CharField(max_length=ID_LENGTH, unique=True)
    reserved_s = models.FloatField()
    used_s = models.FloatField()


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
