"""What the deletion of a project, a run or a job takes along, and what stands in its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Q, Sum

from cryocloud.catalog import UnknownName, load_job_type, load_workflow
from cryocloud.catalog.base import JobType
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.core.errors import Conflict
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.lineage import references_in, references_of
from cryocloud.web.runs.models import Attempt, Job, Run

Target = Project | Run | Job
NAMED = 5


@dataclass(frozen=True)
class Consequences:
    """``jobs`` go in any case, ``further`` are made from them and go only if the person says so.

    ``busy`` names what has not ended and is made of them, or makes them.
    """

    jobs: list[Job]
    further: list[Job]
    busy: list[str]
    runs: int
    files: int
    size_bytes: int

    def require_possible(self, *, along: bool) -> None:
        """Raise with the remedy, unless it may go."""
        if self.busy:
            raise Conflict(f"{_named(self.busy, 'has', 'have')} not ended. Cancel first, then delete.")
        if self.further and not along:
            made = _named([f"job {job.number}" for job in self.further], "was", "were")
            them = "it" if len(self.further) == 1 else "them"
            raise Conflict(f"{made} made from these results. Delete {them} along.")


def consequences_of(target: Target) -> Consequences:
    jobs = _jobs_of(target)
    further = [] if isinstance(target, Project) else _made_from(jobs)
    ids = {job.pk for job in (*jobs, *further)}
    files = _files_of(target, ids)
    runs = target.runs.count() if isinstance(target, Project) else int(isinstance(target, Run))
    return Consequences(jobs, further, _busy(target, ids), runs, *files)


def title_of(target: Target) -> str:
    """As the trash lists it."""
    match target:
        case Project():
            return target.name
        case Run():
            return f"Run {target.number}, {_known_title(load_workflow, target.workflow)}"
        case Job():
            return f"Job {target.number}, {_known_title(load_job_type, target.job_type)}"


def _known_title(load: Callable[[str], JobType | Workflow], name: str) -> str:
    """The bare name where the catalog has none any more."""
    try:
        return load(name).title
    except UnknownName:
        return name


def project_of(target: Target) -> Project:
    return target if isinstance(target, Project) else target.project


def _jobs_of(target: Target) -> list[Job]:
    return [target] if isinstance(target, Job) else list(target.jobs.order_by("number"))


def _made_from(jobs: list[Job]) -> list[Job]:
    """Later jobs of the project that read one of these, directly or through others."""
    if not jobs:
        return []
    found = {job.pk for job in jobs}
    later = Job.unscoped.filter(project_id=jobs[0].project_id, number__gt=jobs[0].number).order_by("number")
    further = []
    for job in later:
        if job.pk not in found and any(one.kind == "job" and one.id in found for one in references_of(job)):
            found.add(job.pk)
            further.append(job)
    return further


def _busy(target: Target, ids: set[str]) -> list[str]:
    project = project_of(target)
    at_work = project.jobs.filter(~Q(state__in=Job.ENDED) | Q(attempts__state__in=Attempt.OPEN)).distinct()
    busy = [f"job {job.number}" for job in at_work.order_by("number") if job.pk in ids]
    for run in project.runs.filter(state__in=Run.OPEN).order_by("number"):
        reads = {one.id for one in references_in(run.inputs) if one.kind == "job"}
        own = run.jobs.values_list("pk", flat=True)
        if isinstance(target, Project) or run == target or reads & ids or any(pk in ids for pk in own):
            busy.append(f"run {run.number}")
    return busy


def _files_of(target: Target, ids: set[str]) -> tuple[int, int]:
    """Number and bytes of the results."""
    rows = Artifact.unscoped.filter(job__project=project_of(target)).values("job_id").order_by()
    found = [
        (row["files"], row["size_bytes"])
        for row in rows.annotate(files=Count("pk"), size_bytes=Sum("size_bytes"))
        if row["job_id"] in ids
    ]
    return sum(files for files, _ in found), sum(size_bytes for _, size_bytes in found)


def _named(names: list[str], one: str, many: str) -> str:
    """“Job 3, job 4 and 7 more have”."""
    text = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        text += f" and {intcomma(len(names) - NAMED)} more"
    return f"{text[:1].upper()}{text[1:]} {one if len(names) == 1 else many}"
