"""What was asked for (Run, Job) and each try to do it (Attempt)."""

from __future__ import annotations

from django.db import models

from cryocloud.web.core.ids import ID_LENGTH
from cryocloud.web.core.models import DeletableRecord, TenantRecord
from cryocloud.web.projects.models import Project

CONTROL, DOUBTFUL = "control", "doubtful"
"""How a succeeded job stands whose result is none, or is not to be trusted."""
RETRIES = 3
"""How often a job begins again by itself after its attempt was lost."""


class Run(DeletableRecord):
    """One execution of a workflow. Its jobs are made one after the other, as the workflow decides.

    It waits for a person where a result is not to be trusted: ``doubt`` says why, ``doubt_accepted_by_id`` who went
    on all the same. Once some of its jobs are deleted (``jobs_deleted``) it can be looked at but does not go on. It is
    paused as long as its job is. ``compute_cap_s`` is what all its attempts together may be billed; None: no cap.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        WAITING = "waiting", "needs you"
        PAUSED = "paused"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN = (State.RUNNING, State.WAITING, State.PAUSED)

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="runs")
    number = models.PositiveIntegerField()
    workflow = models.CharField(max_length=40)
    parameters = models.JSONField()
    inputs = models.JSONField()
    seed = models.BigIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State, default=State.RUNNING)
    message = models.TextField(blank=True)
    decisions = models.JSONField(default=list)
    warnings = models.JSONField(default=list)
    doubt = models.TextField(blank=True)
    doubt_accepted_by_id = models.CharField(max_length=ID_LENGTH, blank=True)
    key_numbers = models.JSONField(default=dict)
    result_job_id = models.CharField(max_length=ID_LENGTH, blank=True)
    jobs_deleted = models.PositiveIntegerField(default=0)
    forecast = models.JSONField(default=dict)
    compute_cap_s = models.PositiveBigIntegerField(null=True, blank=True)
    created_by_id = models.CharField(max_length=ID_LENGTH)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(DeletableRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["project", "number"], name="one_run_a_number"),)

    @property
    def standing(self) -> str:
        """The state as pages show it: nothing that rests on doubt looks done."""
        return DOUBTFUL if self.state == self.State.DONE and self.doubt else self.state


class Job(DeletableRecord):
    """One node of the job graph.

    ``inputs`` are references: ``dataset:ID`` (its images), ``file:ID`` (one file of a dataset), ``job:ID/NAME`` (a
    result file) or ``job:ID`` (the result folder). ``parameters`` are complete, as the catalog validated them.

    A ``control`` measures what the method makes of noise. ``doubt`` says why the result is not to be trusted: by what
    the job itself found, or by what it was made from. ``forecast`` is what was foreseen when it was made.

    It is paused (``paused_for`` says why) when no compute is left to it, keeps its checkpoint, and is queued again by
    itself as soon as there is some.
    """

    class PausedFor(models.TextChoices):
        QUOTA = "quota"
        CAP = "cap"

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PAUSED = "paused"
        DONE = "done"
        EXCEPTIONS = "exceptions", "completed with exceptions"
        FAILED = "failed"
        CANCELLED = "cancelled"

    SUCCEEDED = (State.DONE, State.EXCEPTIONS)
    ENDED = (*SUCCEEDED, State.FAILED, State.CANCELLED)

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="jobs")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="jobs", null=True, blank=True)
    number = models.PositiveIntegerField()
    job_type = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    parameters = models.JSONField()
    inputs = models.JSONField()
    seed = models.BigIntegerField(default=0)
    priority = models.SmallIntegerField(default=0)
    optional = models.BooleanField(default=False)
    control = models.BooleanField(default=False)
    doubt = models.TextField(blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    progress = models.FloatField(default=0.0)
    progress_message = models.CharField(max_length=200, blank=True)
    message = models.TextField(blank=True)
    paused_for = models.CharField(max_length=8, choices=PausedFor, blank=True)
    metrics = models.JSONField(default=dict)
    decisions = models.JSONField(default=list)
    warnings = models.JSONField(default=list)
    exceptions = models.PositiveIntegerField(default=0)
    notes = models.TextField(blank=True, max_length=20000)
    forecast = models.JSONField(default=dict)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    freed_at = models.DateTimeField(null=True, blank=True)
    freed_bytes = models.BigIntegerField(default=0)
    retries_left = models.PositiveSmallIntegerField(default=RETRIES)
    cloned_from_id = models.CharField(max_length=ID_LENGTH, blank=True)
    created_by_id = models.CharField(max_length=ID_LENGTH)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(DeletableRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["project", "number"], name="one_job_a_number"),)
        indexes = (
            models.Index(fields=["state", "created_at"]),
            models.Index(fields=["organization", "state"]),
        )

    @property
    def standing(self) -> str:
        """The state as pages show it: a control is no result, and nothing that rests on doubt looks done."""
        if self.state not in self.SUCCEEDED:
            return self.state
        if self.control:
            return CONTROL
        return DOUBTFUL if self.doubt else self.state


class Attempt(TenantRecord):
    """One try at a job, in a folder of its own: the unit that is measured.

    It was submitted at ``submitted_s`` of the steady clock since the boot ``boot_id``. ``stopped_for`` says why it was
    ordered to stop when nothing was left to compute with; what it then takes to stop is not billed.
    """

    class State(models.TextChoices):
        SUBMITTED = "submitted"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        LOST = "lost"

    OPEN = (State.SUBMITTED, State.RUNNING)

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=State, default=State.SUBMITTED)
    fence = models.BigIntegerField()
    exit_code = models.IntegerField(null=True, blank=True)
    boot_id = models.CharField(max_length=40, blank=True)
    submitted_s = models.FloatField(default=0.0)
    stopped_for = models.CharField(max_length=8, choices=Job.PausedFor, blank=True)
    message = models.TextField(blank=True)
    wall_s = models.FloatField(default=0.0)
    cpu_s = models.FloatField(default=0.0)
    peak_memory_bytes = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantRecord.Meta):
        constraints = (models.UniqueConstraint(fields=["job", "number"], name="one_attempt_a_number"),)
        indexes = (models.Index(fields=["state"]),)
