"""What open pages, people and webhooks hear of jobs and runs."""

from __future__ import annotations

from cryocloud.catalog import job_type_title, workflow_title
from cryocloud.web.core.events import job_topic, project_topic, publish
from cryocloud.web.notices.models import Occasion
from cryocloud.web.notices.services import announce
from cryocloud.web.runs.models import Job, Run

_KIND_OF_RUN = {
    Run.State.DONE: Occasion.Kind.DONE,
    Run.State.FAILED: Occasion.Kind.FAILED,
    Run.State.WAITING: Occasion.Kind.NEEDS_YOU,
    Run.State.PAUSED: Occasion.Kind.NEEDS_YOU,
}
_KIND_OF_JOB = {
    Job.State.DONE: Occasion.Kind.DONE,
    Job.State.EXCEPTIONS: Occasion.Kind.DONE,
    Job.State.FAILED: Occasion.Kind.FAILED,
    Job.State.PAUSED: Occasion.Kind.NEEDS_YOU,
}


def publish_job(job: Job) -> None:
    content = {
        "id": job.pk,
        "number": job.number,
        "job_type": job.job_type,
        "state": job.state,
        "progress": round(job.progress, 4),
        "message": job.progress_message,
    }
    publish(job.organization_id, [project_topic(job.project_id), job_topic(job.pk)], "job", content)


def publish_run(run: Run) -> None:
    publish(run.organization_id, [project_topic(run.project_id)], "run", {"id": run.pk, "state": run.state})


def tell_of_run(run: Run) -> None:
    """When it has come to an end or asks for somebody; who cancelled it knows."""
    kind = _KIND_OF_RUN.get(Run.State(run.state))
    if kind is not None:
        _tell(run, kind, f"Run {run.number} ({workflow_title(run.workflow)})", run.key_numbers)


def tell_of_job(job: Job) -> None:
    """Of one that was ordered by itself; those of a run are steps of it."""
    kind = _KIND_OF_JOB.get(Job.State(job.state))
    if kind is not None and job.run_id is None:
        _tell(job, kind, f"Job {job.number} ({job_type_title(job.job_type)})", job.metrics)


def _tell(about: Run | Job, kind: Occasion.Kind, title: str, numbers: dict[str, float | None]) -> None:
    occasion = Occasion(
        organization_id=about.organization_id,
        project_id=about.project_id,
        kind=kind,
        subject=Occasion.Subject.RUN if isinstance(about, Run) else Occasion.Subject.JOB,
        subject_id=about.pk,
        title=title,
        standing=about.standing,
        resolution_angstrom=numbers.get("resolution_angstrom"),
        message=about.message or about.doubt,
    )
    announce(occasion, started_by_id=about.created_by_id)
