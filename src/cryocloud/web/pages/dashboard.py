"""The dashboard's numbers, in a number of queries that does not grow with the projects."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, IntegerField, Max, OuterRef, Q, Subquery, Value, When

from cryocloud.catalog.metrics import spoken_number
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.data.models import Dataset
from cryocloud.web.organizations.access import within
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job

PAGE_SIZE = 18
ACTIVE_SHOWN = 8
ACTIVE = (Job.State.RUNNING, Job.State.QUEUED, Job.State.PAUSED)
STATES_SHOWN = (
    (Job.State.RUNNING, "running"),
    (Job.State.QUEUED, "queued"),
    (Job.State.PAUSED, "paused"),
    (Job.State.DONE, "done"),
    (Job.State.EXCEPTIONS, "with exceptions"),
    (Job.State.FAILED, "failed"),
    (Job.State.CANCELLED, "cancelled"),
)


@dataclass
class ProjectCard:
    """A project as the dashboard shows it."""

    project: Project
    last_activity_at: datetime
    counts: dict[str, int] = field(default_factory=dict)
    resolution: str = ""

    @property
    def tally(self) -> list[tuple[str, int, str]]:
        return [(state, self.counts[state], word) for state, word in STATES_SHOWN if self.counts.get(state)]


@dataclass(frozen=True)
class ProjectPage:
    cards: list[ProjectCard]
    number: int
    pages: int
    total: int
    text: str


def project_page(
    actor: Actor, organization: Organization, *, number: int = 1, text: str = "", archived: bool = False
) -> ProjectPage:
    """Projects with the newest activity first."""
    projects = within(actor, Project, organization).filter(archived_at__isnull=not archived)
    if text:
        projects = projects.filter(Q(name__icontains=text) | Q(description__icontains=text))
    activity = dict(projects.values_list("pk", "created_at"))
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in _tallies(actor, organization):
        if row["project_id"] in activity:
            counts[row["project_id"]][row["state"]] = row["n"]
            moments = (activity[row["project_id"]], row["made"], row["ended"])
            activity[row["project_id"]] = max(moment for moment in moments if moment is not None)
    ranked = sorted(activity, key=lambda pk: (activity[pk], pk), reverse=True)
    pages = max(1, -(-len(ranked) // PAGE_SIZE))
    number = min(max(number, 1), pages)
    shown = ranked[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    rows = {row.pk: row for row in _with_result(projects.filter(pk__in=shown))}
    cards = [ProjectCard(rows[pk], activity[pk], counts[pk], _resolution(rows[pk])) for pk in shown]
    return ProjectPage(cards, number, pages, len(ranked), text)


def _tallies(actor: Actor, organization: Organization) -> Any:
    return (
        within(actor, Job, organization)
        .values("project_id", "state")
        .order_by()
        .annotate(n=Count("pk"), made=Max("created_at"), ended=Max("finished_at"))
    )


def _with_result(projects: Any) -> Any:
    """Each project with the metrics of its last map that can be trusted: sharpened before refined, then the newest."""
    maps = (
        Job.unscoped.filter(
            project=OuterRef("pk"),
            job_type__in=("postprocess", "refine"),
            state__in=Job.SUCCEEDED,
            control=False,
            doubt="",
        )
        .annotate(
            rank=Case(
                When(job_type="postprocess", then=Value(0)), default=Value(1), output_field=IntegerField()
            )
        )
        .order_by("rank", "-number")
    )
    return projects.annotate(last_metrics=Subquery(maps.values("metrics")[:1]))


def _resolution(project: Any) -> str:
    value = (project.last_metrics or {}).get("resolution_angstrom")
    return "" if value is None else spoken_number("resolution_angstrom", value).text


def active_jobs(actor: Actor, organization: Organization) -> tuple[list[Job], int]:
    """Jobs at work and waiting, running ones first, and how many there are."""
    rows = within(actor, Job, organization).filter(state__in=ACTIVE)
    first = Case(When(state=Job.State.RUNNING, then=Value(0)), default=Value(1), output_field=IntegerField())
    shown = rows.select_related("project").order_by(first, "created_at")[:ACTIVE_SHOWN]
    return list(shown), rows.count()


def sample_dataset(actor: Actor, organization: Organization) -> Dataset | None:
    """The dataset that a first run can use at once."""
    rows = within(actor, Dataset, organization).filter(trashed_at=None)
    return rows.order_by("-is_sample", "-created_at").first()
