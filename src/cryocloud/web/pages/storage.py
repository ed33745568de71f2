"""What takes the storage of an organization: projects, runs and jobs, datasets, and the trash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import Count, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET

from cryocloud.catalog import job_type_names, load_job_type
from cryocloud.catalog.base import JobType
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.data.models import Dataset, StoredObject, Upload
from cryocloud.web.data.services import storage_limit, storage_used
from cryocloud.web.organizations.access import get, role_in, within
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.pages.in_trash import or_in_trash
from cryocloud.web.pages.templatetags.wording import job_title, workflow_title
from cryocloud.web.pages.visitor import current_organization, members_only
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.results.storage import result_bytes
from cryocloud.web.runs.models import Attempt, Job

LINES_SHOWN = 100


@dataclass
class StorageLine:
    """Something that takes room. ``wall_s`` and ``cpu_s`` are what it would take to compute it again."""

    title: str
    url: str
    size_bytes: int
    note: str = ""
    share: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    delete_url: str = ""
    free_url: str = ""
    lines: list[StorageLine] = field(default_factory=list)

    @property
    def cpu_hours(self) -> str:
        return f"{self.cpu_s / 3600:,.2f}" if self.cpu_s < 36_000 else f"{self.cpu_s / 3600:,.0f}"


@require_GET
@members_only
def storage(request: HttpRequest, actor: Actor) -> HttpResponse:
    organization = current_organization(request, actor)
    projects, datasets = _projects(actor, organization), _datasets(actor, organization)
    used, limit = storage_used(organization), storage_limit(organization)
    coming = within(actor, Upload, organization).filter(state=Upload.State.OPEN)
    arriving_bytes = coming.aggregate(n=Sum("size_bytes", default=0))["n"]
    project_bytes, dataset_bytes = (sum(line.size_bytes for line in lines) for lines in (projects, datasets))
    context = {
        "section": "organization",
        "used": used,
        "limit": limit,
        "used_share": min(1.0, used.size_bytes / limit.size_bytes) if limit.size_bytes else 1.0,
        "parts": _ranked(
            [
                StorageLine("Results of projects", "#projects", project_bytes),
                StorageLine("Datasets", "#datasets", dataset_bytes),
                StorageLine("Still arriving", reverse("datasets"), arriving_bytes),
                StorageLine("Trash", reverse("trash"), _trash_bytes(actor, organization, project_bytes)),
            ]
        ),
        "projects": projects[:LINES_SHOWN],
        "projects_left": max(0, len(projects) - LINES_SHOWN),
        "datasets": datasets[:LINES_SHOWN],
        "datasets_left": max(0, len(datasets) - LINES_SHOWN),
    }
    return render(request, "storage/storage.html", context)


def _projects(actor: Actor, organization: Organization) -> list[StorageLine]:
    rows = within(actor, Artifact, organization).values("job__project_id").order_by()
    size_bytes = dict(rows.annotate(n=Sum("size_bytes")).values_list("job__project_id", "n"))
    named = within(actor, Project, organization).values_list("pk", "name", "archived_at")
    return _ranked(
        StorageLine(
            name,
            reverse("project_storage", args=[pk]),
            size_bytes.get(pk, 0),
            note="archived" if archived_at else "",
        )
        for pk, name, archived_at in named
    )


def _datasets(actor: Actor, organization: Organization) -> list[StorageLine]:
    rows = within(actor, Dataset, organization).filter(trashed_at=None)
    kept = Q(files__deletion_id="")
    counted = rows.annotate(
        n=Sum("files__stored__size_bytes", filter=kept, default=0), files_n=Count("files", filter=kept)
    )
    return _ranked(
        StorageLine(
            row.name,
            reverse("dataset", args=[row.pk]),
            0 if row.is_sample else row.n,
            note="sample, does not count"
            if row.is_sample
            else f"{row.files_n:,} file{'' if row.files_n == 1 else 's'}",
        )
        for row in counted
    )


def _trash_bytes(actor: Actor, organization: Organization, project_bytes: int) -> int:
    """Datasets and files in the trash, and the results that no project shows."""
    own = within(actor, StoredObject, organization).filter(file__dataset__is_sample=False)
    gone = own.filter(Q(file__deletion_id__gt="") | Q(file__dataset__trashed_at__isnull=False))
    dataset_bytes: int = gone.aggregate(n=Sum("size_bytes", default=0))["n"]
    return dataset_bytes + result_bytes(organization.pk) - project_bytes


@require_GET
@members_only
@or_in_trash(Project)
def project_storage(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    project = get(actor, Project, project_id)
    role = role_in(actor, project.organization_id) or Role.VIEWER
    lines = _jobs(actor, project)
    groups: dict[str, StorageLine] = {}
    for job, line in lines:
        title = f"Run {job.run.number}, {workflow_title(job.run.workflow)}" if job.run else "Single jobs"
        url = reverse("run", args=[job.run_id]) if job.run_id else ""
        group = groups.setdefault(job.run_id or "", StorageLine(title, url, 0))
        group.size_bytes += line.size_bytes
        group.wall_s, group.cpu_s = group.wall_s + line.wall_s, group.cpu_s + line.cpu_s
        group.lines.append(line)
    _ranked(line for _, line in lines)
    for group in groups.values():
        group.lines.sort(key=lambda line: -line.size_bytes)
    context = {
        "section": "organization",
        "project": project,
        "groups": _ranked(groups.values()),
        "size_bytes": sum(line.size_bytes for _, line in lines),
        "job_count": len(lines),
        "may_edit": role >= Role.EDITOR,
        "may_delete": role >= Role.ADMIN,
    }
    return render(request, "storage/project.html", context)


def _jobs(actor: Actor, project: Project) -> list[tuple[Job, StorageLine]]:
    artifacts = within(actor, Artifact, project.organization).filter(job__project=project).values("job_id")
    size_bytes = dict(artifacts.order_by().annotate(n=Sum("size_bytes")).values_list("job_id", "n"))
    tries = within(actor, Attempt, project.organization).filter(job__project=project).values("job_id")
    spent = {row["job_id"]: row for row in tries.order_by().annotate(wall=Sum("wall_s"), cpu=Sum("cpu_s"))}
    rebuildable = {name: known.rebuildable for name, known in _known_types() if known.rebuildable}
    large = within(actor, Artifact, project.organization).filter(
        job__project=project, job__job_type__in=rebuildable, job__freed_at=None, job__state__in=Job.SUCCEEDED
    )
    freeable = {
        job_id
        for job_id, path, job_type in large.values_list("job_id", "path", "job__job_type")
        if path in rebuildable[job_type]
    }
    return [
        (
            job,
            StorageLine(
                f"#{job.number} {job_title(job.job_type)}",
                reverse("job", args=[job.pk]),
                size_bytes.get(job.pk, 0),
                wall_s=spent[job.pk]["wall"] if job.pk in spent else 0.0,
                cpu_s=spent[job.pk]["cpu"] if job.pk in spent else 0.0,
                note="images deleted to free space" if job.freed_at else "",
                delete_url=reverse("delete_job", args=[job.pk]) if job.state in Job.ENDED else "",
                free_url=reverse("free_space", args=[job.pk]) if job.pk in freeable else "",
            ),
        )
        for job in project.jobs.select_related("run").order_by("number")
    ]


def _known_types() -> Iterator[tuple[str, JobType]]:
    return ((name, load_job_type(name)) for name in job_type_names())


def _ranked(lines: Iterable[StorageLine]) -> list[StorageLine]:
    """Largest first; the share of each is that of the largest, so that the bars compare."""
    found = sorted(lines, key=lambda line: -line.size_bytes)
    for line in found:
        line.share = line.size_bytes / found[0].size_bytes if found[0].size_bytes else 0.0
    return found


urlpatterns: list[URLPattern] = [
    path("storage/", storage, name="storage"),
    path("projects/<str:project_id>/storage/", project_storage, name="project_storage"),
]
