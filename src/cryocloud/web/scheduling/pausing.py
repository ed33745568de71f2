"""Jobs that have nothing left to compute with: stopped at a checkpoint, paused, and queued again when there is some."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction

from cryocloud.catalog import load_job_type
from cryocloud.web.metering.grants import AHEAD_S, Claim, Shortage, free_compute_s, stop_granting
from cryocloud.web.metering.quota_words import used_up_words
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.notices import publish_job, publish_run, tell_of_run

STARTS = "It starts by itself as soon as there is compute for it."
GOES_ON = "It goes on by itself, from its last checkpoint, as soon as there is compute for it."
BEGINS_ANEW = (
    "It keeps no checkpoint: as soon as there is compute it begins anew by itself, and that counts again."
)
STOPPING = {Shortage.QUOTA: "stops: no compute left", Shortage.CAP: "stops: the cap is reached"}
PAUSED = {Shortage.QUOTA: "paused: quota", Shortage.CAP: "paused: cap"}


def claim_of(attempt: Attempt) -> Claim:
    """With the caps as they are now; an attempt takes one slot, with a GPU or without."""
    return _claim(attempt.job, attempt.pk)


def _claim(job: Job, attempt_id: str) -> Claim:
    caps = Project.with_trash.filter(pk=job.project_id).values_list("compute_cap_s", flat=True)
    of_run = Run.with_trash.filter(pk=job.run_id).values_list("compute_cap_s", flat=True)
    return Claim(
        organization_id=job.organization_id,
        attempt_id=attempt_id,
        project_id=job.project_id,
        run_id=job.run_id or "",
        project_cap_s=caps.first(),
        run_cap_s=of_run.first() if job.run_id else None,
    )


@transaction.atomic
def order_stop(attempt_id: str, shortage: Shortage) -> None:
    """From now on nothing is billed; the job has its grace to write a checkpoint."""
    attempt = Attempt.unscoped.select_for_update(no_key=True).get(pk=attempt_id)
    if attempt.stopped_for or attempt.state not in Attempt.OPEN:
        return
    stop_granting(attempt.organization_id, attempt.pk)
    Attempt.unscoped.filter(pk=attempt.pk).update(stopped_for=shortage)
    Job.unscoped.filter(pk=attempt.job_id).update(progress_message=STOPPING[shortage])


def pause_job(job: Job, shortage: Shortage) -> None:
    """In a transaction that holds the job and saves it; its run pauses with it."""
    job.state, job.paused_for = Job.State.PAUSED, Job.PausedFor(shortage)
    job.progress_message, job.message = PAUSED[shortage], _pause_words(job, shortage)
    publish_job(job)
    _carry_over(job, Run.State.RUNNING, Run.State.PAUSED, job.message)


def _pause_words(job: Job, shortage: Shortage) -> str:
    words = used_up_words(job.organization) if shortage == Shortage.QUOTA else _cap_words(job)
    if not job.attempts.exists():
        return f"Paused. {words} {STARTS}"
    return f"Paused. {words} {GOES_ON if load_job_type(job.job_type).keeps_checkpoints else BEGINS_ANEW}"


def _cap_words(job: Job) -> str:
    claim = _claim(job, "")
    alone = replace(claim, project_cap_s=None)
    of_run = claim.run_cap_s is not None and free_compute_s(alone)[0] < 1
    cap_s = claim.run_cap_s if of_run else claim.project_cap_s
    whose = f"run {job.run.number}" if of_run and job.run else f"the project “{job.project.name}”"
    return f"The cap of {(cap_s or 0) / 3600:,.2f} hours of compute of {whose} is reached; an editor can raise it."


def resume_paused() -> None:
    """Queue again what has compute for a first minute of all its slots; as often as one likes."""
    paused = Job.unscoped.filter(state=Job.State.PAUSED)
    for organization in Organization.objects.filter(pk__in=paused.values("organization_id").distinct()):
        for job_id in (
            paused.filter(organization=organization).order_by("created_at", "pk").values_list("pk", flat=True)
        ):
            _resume(job_id)


@transaction.atomic
def _resume(job_id: str) -> None:
    job = Job.unscoped.select_for_update(no_key=True).get(pk=job_id)
    if job.state != Job.State.PAUSED:
        return
    claim = _claim(job, "")
    if free_compute_s(claim)[0] < AHEAD_S * claim.slots:
        return
    job.state, job.paused_for, job.message = Job.State.QUEUED, "", ""
    job.progress_message = "goes on from its last checkpoint" if job.attempts.exists() else ""
    job.save(update_fields=["state", "paused_for", "message", "progress_message"])
    publish_job(job)
    _carry_over(job, Run.State.PAUSED, Run.State.RUNNING, "")


def _carry_over(job: Job, before: Run.State, after: Run.State, message: str) -> None:
    run = (
        Run.unscoped.select_for_update(no_key=True).filter(pk=job.run_id, state=before).first()
        if job.run_id
        else None
    )
    if run is not None:
        run.state, run.message = after, message
        run.save(update_fields=["state", "message"])
        publish_run(run)
        tell_of_run(run)
