"""Jobs that have nothing left to compute with: stopped at a checkpoint, paused, and queued again when there is some."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction
from django.db.models import QuerySet

from cryocloud.catalog import load_job_type
from cryocloud.web.metering.caps import hours_text
from cryocloud.web.metering.grants import AHEAD_S, Claim, Shortage, free_compute_s, stop_granting
from cryocloud.web.metering.quota_words import used_up_words
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.notices import publish_job, publish_run, tell_of_run

JOBS_RESUMED_AT_ONCE = 500
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
    who = "an editor" if of_run else "an admin"
    whose = f"run {job.run.number}" if of_run and job.run else f"the project “{job.project.name}”"
    return f"The cap of {hours_text(cap_s)} hours of compute of {whose} is reached; {who} can raise it."


def resume_paused() -> None:
    """Queue again as many as have compute for a first minute of all their slots; as often as one likes.

    What is left depends on the project and the run alone, so that a long queue costs few questions.
    """
    paused = Job.unscoped.filter(state=Job.State.PAUSED)
    for group in paused.values("organization_id", "project_id", "run_id").distinct().order_by():
        _resume_some(paused.filter(**group))


@transaction.atomic
def _resume_some(paused: QuerySet[Job]) -> None:
    held = paused.select_for_update(no_key=True).order_by("created_at", "pk")
    jobs = list(held[:JOBS_RESUMED_AT_ONCE])
    if not jobs:
        return
    claim = _claim(jobs[0], "")
    first_minute_s = AHEAD_S * claim.slots
    free_s = min(free_compute_s(claim)[0], JOBS_RESUMED_AT_ONCE * first_minute_s)
    for job in jobs[: max(0, int(free_s) // first_minute_s)]:
        _resume(job)


def _resume(job: Job) -> None:
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
