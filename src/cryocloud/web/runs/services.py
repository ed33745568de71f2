"""Ordering, stopping and repeating jobs and runs. What happens to an order afterwards is the scheduler's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import require_room
from cryocloud.web.core.errors import Conflict, Refused
from cryocloud.web.core.models import Lease
from cryocloud.web.data.storage import require_free_storage
from cryocloud.web.metering.services import require_compute
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.advance import add_job, advance_run, lock_project
from cryocloud.web.runs.models import RETRIES, Job, Run
from cryocloud.web.runs.notices import publish_job, publish_run
from cryocloud.web.runs.orders import (
    check_seed,
    checked_inputs,
    complete_parameters,
    known_job_type,
    known_workflow,
)
from cryocloud.web.runs.preflight import require_possible

NOTES_LENGTH_MAX = 20_000
JOBS_WAITING_MAX = 5_000
PAUSE = "dispatch-paused"


def create_job(
    *,
    actor: Actor,
    project: Project,
    job_type: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
    seed: int = 0,
    cloned_from_id: str = "",
) -> Job:  # fmt: skip
    """Order one job; ``inputs`` are references as in ``Job``."""
    _require_open(actor, project)
    known = known_job_type(job_type)
    check_seed(seed)
    complete = complete_parameters(known.parameters, parameters)
    references = checked_inputs(actor, project, known.inputs, inputs)
    require_possible(actor, known, complete, references)
    if cloned_from_id:
        access.get(actor, Job, cloned_from_id)
    with transaction.atomic():
        job = add_job(
            Job(
                organization_id=project.organization_id,
                project=project,
                job_type=known.name,
                version=known.version,
                parameters=complete,
                inputs=references,
                seed=seed,
                cloned_from_id=cloned_from_id,
                created_by_id=actor.user.pk,
            )
        )
        _audit(actor, "job.created", job, job_type=job_type)
    return job


def start_run(
    *,
    actor: Actor,
    project: Project,
    workflow: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
    seed: int = 0,
) -> Run:
    """Start a workflow; its first job is made at once."""
    _require_open(actor, project)
    known = known_workflow(workflow)
    check_seed(seed)
    complete = complete_parameters(known.parameters, parameters)
    references = checked_inputs(actor, project, known.inputs, inputs)
    forecast = require_possible(actor, known, complete, references)
    with transaction.atomic():
        lock_project(project.pk)
        number = (Run.with_trash.filter(project=project).aggregate(n=Max("number"))["n"] or 0) + 1
        run = Run.unscoped.create(
            organization_id=project.organization_id,
            project=project,
            number=number,
            workflow=known.name,
            parameters=complete,
            inputs=references,
            seed=seed,
            forecast=forecast.stored() if forecast else {},
            created_by_id=actor.user.pk,
        )
        _audit(actor, "run.started", run, workflow=workflow)
        advance_run(run.pk)
    run.refresh_from_db()
    return run


def _require_open(actor: Actor, project: Project) -> None:
    access.require_role(actor, project.organization_id, Role.EDITOR)
    if project.archived_at is not None:
        raise Conflict("The project is archived; restore it before you start something in it.")
    organization = Organization.objects.get(pk=project.organization_id)
    require_compute(organization)
    require_free_storage(organization)
    require_room()
    _require_short_queue(project.organization_id)


def _require_short_queue(organization_id: str) -> None:
    waiting = Job.unscoped.filter(organization_id=organization_id, state=Job.State.QUEUED).count()
    if waiting >= JOBS_WAITING_MAX:
        raise Conflict(
            f"{waiting:,} jobs are waiting, as many as one organization may have. Cancel some, or wait for their turn."
        )


def cancel_job(*, actor: Actor, job: Job) -> None:
    """A queued job ends at once; a running one is asked to stop, and keeps its checkpoint."""
    access.require_role(actor, job.organization_id, Role.EDITOR, access.Purpose.READ)
    with transaction.atomic():
        current = _locked(job)
        if current.state in Job.ENDED:
            raise Conflict(f"Job {current.number} has ended already: {current.get_state_display()}.")
        _cancel(current)
        _audit(actor, "job.cancelled", current)
        if current.run_id and current.state == Job.State.CANCELLED:
            Run.unscoped.filter(pk=current.run_id, state=Run.State.PAUSED).update(state=Run.State.RUNNING)
            advance_run(current.run_id)
    job.refresh_from_db()


def cancel_run(*, actor: Actor, run: Run) -> None:
    """No further job is made; the one at work is asked to stop."""
    access.require_role(actor, run.organization_id, Role.EDITOR, access.Purpose.READ)
    with transaction.atomic():
        # Jobs are locked before their run everywhere, so that no two transactions wait for each other.
        list(run.jobs.select_for_update(no_key=True).exclude(state__in=Job.ENDED).order_by("number"))
        current = Run.unscoped.select_for_update(no_key=True).get(pk=run.pk)
        if current.state not in Run.OPEN:
            raise Conflict(f"Run {current.number} has ended already: {current.get_state_display()}.")
        current.state, current.message, current.finished_at = Run.State.CANCELLED, "Cancelled.", now()
        current.save()
        for job in current.jobs.select_for_update(no_key=True).exclude(state__in=Job.ENDED):
            _cancel(job)
        publish_run(current)
        _audit(actor, "run.cancelled", current)
    run.refresh_from_db()


def _cancel(job: Job) -> None:
    """In a transaction that holds the job's row: between this and the end of an attempt one comes first."""
    job.cancel_requested_at = job.cancel_requested_at or now()
    if job.state in (Job.State.QUEUED, Job.State.PAUSED):
        job.state, job.message, job.finished_at = Job.State.CANCELLED, "Cancelled while it waited.", now()
        job.paused_for = ""
    else:
        job.progress_message = "stopping"
    job.save()
    publish_job(job)


def retry_job(*, actor: Actor, job: Job) -> None:
    """Queue a failed or cancelled job again, from its last checkpoint if it left one; a whole run goes on with it."""
    access.require_role(actor, job.organization_id, Role.EDITOR)
    require_compute(Organization.objects.get(pk=job.organization_id))
    require_room()
    with transaction.atomic():
        current = _locked(job)
        if current.state not in (Job.State.FAILED, Job.State.CANCELLED):
            raise Conflict(
                f"Job {current.number} is {current.get_state_display()}; only a failed or cancelled one is retried."
            )
        current.state, current.message, current.progress_message = Job.State.QUEUED, "", ""
        current.cancel_requested_at = current.finished_at = None
        current.retries_left = RETRIES
        current.save()
        run = Run.unscoped.select_for_update(no_key=True).filter(pk=current.run_id, jobs_deleted=0).first()
        if run is not None:
            _reopen(run)
        publish_job(current)
        _audit(actor, "job.retried", current)
    job.refresh_from_db()


def retry_run(*, actor: Actor, run: Run) -> None:
    """Go on with a failed or cancelled run where it stopped."""
    access.require_role(actor, run.organization_id, Role.EDITOR)
    if run.state not in (Run.State.FAILED, Run.State.CANCELLED):
        raise Conflict(f"Run {run.number} is {run.get_state_display()}; there is nothing to go on with.")
    if run.jobs_deleted:
        raise Conflict(
            f"{run.jobs_deleted} of the jobs of run {run.number} were deleted, so it cannot go on. Restore them from "
            "the trash, or run it again."
        )
    latest = run.jobs.order_by("-number").first()
    if latest and latest.state in (Job.State.FAILED, Job.State.CANCELLED):
        retry_job(actor=actor, job=latest)
    else:
        require_compute(Organization.objects.get(pk=run.organization_id))
        require_room()
        with transaction.atomic():
            current = Run.unscoped.select_for_update(no_key=True).get(pk=run.pk)
            _reopen(current)
            _audit(actor, "run.retried", current)
            advance_run(current.pk)
    run.refresh_from_db()


def accept_doubt(*, actor: Actor, run: Run) -> None:
    """Go on with a run that waits because a result is not to be trusted; what follows is marked by the doubt."""
    access.require_role(actor, run.organization_id, Role.EDITOR)
    require_compute(Organization.objects.get(pk=run.organization_id))
    require_room()
    with transaction.atomic():
        current = Run.unscoped.select_for_update(no_key=True).get(pk=run.pk)
        if current.state != Run.State.WAITING:
            raise Conflict(
                f"Run {current.number} is {current.get_state_display()}; it does not ask for anything."
            )
        current.doubt_accepted_by_id = actor.user.pk
        _reopen(current)
        _audit(actor, "run.doubt_accepted", current)
        advance_run(current.pk)
    run.refresh_from_db()


def _reopen(run: Run) -> None:
    run.state, run.message, run.finished_at = Run.State.RUNNING, "", None
    run.save()
    publish_run(run)


def set_job_notes(*, actor: Actor, job: Job, notes: str) -> None:
    access.require_role(actor, job.organization_id, Role.EDITOR)
    if len(notes) > NOTES_LENGTH_MAX:
        raise Refused(
            f"notes: {len(notes)} characters are too many; at most {NOTES_LENGTH_MAX}", {"notes": "too long"}
        )
    with transaction.atomic():
        current = _locked(job)
        current.notes = notes
        current.save(update_fields=["notes"])
        _audit(actor, "job.noted", current)
    job.notes = notes


def clone_job(
    *, actor: Actor, job: Job, parameters: Mapping[str, Any], inputs: Mapping[str, str], seed: int | None
) -> Job:
    """A new job like ``job``, but for what is given here."""
    return create_job(
        actor=actor,
        project=job.project,
        job_type=job.job_type,
        parameters={**job.parameters, **parameters},
        inputs={**job.inputs, **inputs},
        seed=job.seed if seed is None else seed,
        cloned_from_id=job.pk,
    )


def pause_dispatch() -> None:
    """Start no more attempts on this installation; those at work go on."""
    Lease.objects.get_or_create(
        name=PAUSE, defaults={"owner": "operator", "expires_at": now() + timedelta(days=36500)}
    )


def resume_dispatch() -> None:
    Lease.objects.filter(name=PAUSE).delete()


def is_dispatch_paused() -> bool:
    return Lease.objects.filter(name=PAUSE).exists()


def _locked(job: Job) -> Job:
    current = Job.unscoped.select_for_update(no_key=True).filter(pk=job.pk).first()
    if current is None:
        raise Conflict(f"Job {job.number} has been moved to the trash meanwhile; restore it first.")
    return current


def _audit(actor: Actor, verb: str, target: Job | Run, **detail: Any) -> None:
    record_event(
        verb,
        organization_id=target.organization_id,
        target=target,
        actor_id=actor.user.pk,
        via=actor.via,
        **detail,
    )
