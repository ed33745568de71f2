"""What open pages hear of jobs and runs."""

from __future__ import annotations

from cryocloud.web.core.events import job_topic, project_topic, publish
from cryocloud.web.runs.models import Job, Run


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
