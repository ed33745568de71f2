"""The files of many jobs as one archive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.http import HttpRequest, HttpResponseBase

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.zip_stream import zip_response
from cryocloud.web.organizations.watch import while_allowed
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import artifacts_in, marked_name, zip_members
from cryocloud.web.runs.models import Job, Run


def run_archive(request: HttpRequest, actor: Actor, run: Run) -> HttpResponseBase:
    return _archive(request, actor, run.jobs.all(), f"{run.project.name} run {run.number}.zip")


def project_archive(request: HttpRequest, actor: Actor, project: Project) -> HttpResponseBase:
    return _archive(request, actor, project.jobs.all(), f"{project.name}.zip")


def _archive(request: HttpRequest, actor: Actor, jobs: Iterable[Job], name: str) -> HttpResponseBase:
    """A folder for each job that left something; what has none is not found.

    A project has hundreds of thousands of files: of each no more is read than goes into the archive.
    """
    found = list(jobs)
    rows = list(
        artifacts_in(found).only("organization_id", "job_id", "attempt_id", "path", "size_bytes", "sha256")
    )
    if not rows:
        raise NotFound
    folders = {job.pk: marked_name(job, f"{job.number:03d} {job.job_type}") for job in found}
    named = zip(rows, zip_members(rows), strict=True)
    members = [replace(member, name=f"{folders[row.job_id]}/{member.name}") for row, member in named]
    sent = zip_response(request, members, name=name)
    return while_allowed(request, actor, rows[0].organization_id, sent)
