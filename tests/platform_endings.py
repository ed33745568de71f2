"""Jobs and runs that come to an end as the scheduler ends them, without a process that computes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryocloud.compute import attempt as protocol
from cryocloud.web.core.leases import take_lease
from cryocloud.web.core.models import Lease
from cryocloud.web.projects.models import Project
from cryocloud.web.results.publishing import Publication
from cryocloud.web.runs.advance import add_job
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.scheduling.dispatch import LEASE, Leadership
from cryocloud.web.scheduling.ending import SUCCESS, Ending, end_attempt

DONE, FAILED, BAD_INPUT, EXCEPTIONS = (
    protocol.DONE,
    protocol.INTERNAL_ERROR,
    protocol.BAD_INPUT,
    protocol.DONE_WITH_EXCEPTIONS,
)


def queued_job(project: Project, user_id: str, **changes: Any) -> Job:
    values = {"job_type": "counting", "version": 1, "parameters": {"steps": 1}, "inputs": {}} | changes
    return add_job(
        Job(organization_id=project.organization_id, project=project, created_by_id=user_id, **values)
    )


def start_job(job: Job) -> Attempt:
    number = job.attempts.count() + 1
    Job.unscoped.filter(pk=job.pk).update(state=Job.State.RUNNING)
    return Attempt.unscoped.create(
        organization_id=job.organization_id, job=job, number=number, fence=1, state=Attempt.State.RUNNING
    )


def end_job(job: Job, code: int = DONE, message: str = "", **metrics: float) -> Job:
    """Let it run and end as its runner would have told."""
    attempt = start_job(job)
    publication = Publication((), metrics, [], [], 3 if code == EXCEPTIONS else 0)
    published = publication if code in SUCCESS else None
    assert end_attempt(_leadership(), attempt.pk, Ending(code, message), published)
    job.refresh_from_db()
    return job


def end_run(run: Run, *codes: int, **metrics: float) -> Run:
    """End the jobs of a run one after the other, each with one of the codes."""
    for code in codes:
        job = run.jobs.exclude(state__in=Job.ENDED).order_by("number").first()
        if job is None:
            break
        end_job(job, code, "the box is too small" if code not in SUCCESS else "", **({"sum": 1.0} | metrics))
    run.refresh_from_db()
    return run


def _leadership() -> Leadership:
    fence = take_lease(LEASE, "tests", timedelta(days=400))
    if fence is None:
        Lease.objects.filter(name=LEASE).delete()
        return _leadership()
    return Leadership("tests", fence)
