"""Watching, comparing and stopping runs and jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_GET, require_POST

from cryocloud.catalog.metrics import Spoken, spoken_number
from cryocloud.catalog.units import NOT_KNOWN
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict, QuotaExceeded
from cryocloud.web.notices.services import read_notices
from cryocloud.web.organizations.access import Purpose, get, may_add, role_in, visible
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages import orders
from cryocloud.web.pages.forecast_words import foreseen_of_job, foreseen_of_run, time_left_of
from cryocloud.web.pages.in_trash import or_in_trash
from cryocloud.web.pages.job_view import (
    LOG_BYTES_MAX,
    LOG_TAIL_BYTES,
    attempt_lines,
    exception_rows,
    input_links,
    next_jobs,
    readers,
)
from cryocloud.web.pages.job_words import ParameterLine, key_number, parameter_lines
from cryocloud.web.pages.result_lead import LIMITS, PLOTS_SHOWN, Lead, lead_of
from cryocloud.web.pages.visitor import enter_organization_of, members_only
from cryocloud.web.results.files import artifacts_in, size_of
from cryocloud.web.results.viewers import plots_of
from cryocloud.web.runs import services
from cryocloud.web.runs.log import log_tail
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.scheduling.queue import waiting_of

SEED_HELP = "Random draws begin here; the same seed gives the same result."
REPEATABLE = (Job.State.FAILED, Job.State.CANCELLED)


@dataclass(frozen=True)
class RunStep:
    """A job of a run with the decisions that led to it."""

    job: Job
    key_number: str
    decisions: list[dict[str, Any]]


@dataclass(frozen=True)
class ComparedLine:
    label: str
    help: str
    one: str
    other: str

    @property
    def differs(self) -> bool:
        return self.one != self.other


@require_GET
@members_only
@or_in_trash(Run)
def run(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponse:
    found = get(actor, Run, run_id)
    read_notices(actor=actor, subject_id=found.pk)
    return render(request, "runs/run.html", _run_context(actor, found))


@require_GET
@members_only
def run_live(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponse:
    """The steps of a run at work; once it has ended the whole page is fetched again."""
    found = get(actor, Run, run_id)
    answer = render(request, "runs/run_steps.html", _run_context(actor, found))
    if found.state not in (Run.State.RUNNING, Run.State.PAUSED) or found.state != request.GET.get(
        "state", found.state
    ):
        answer["HX-Refresh"] = "true"
    return answer


def _run_context(actor: Actor, found: Run) -> dict[str, Any]:
    jobs = list(found.jobs.order_by("number"))
    known = {job.pk for job in jobs}
    steps = [
        RunStep(job, key_number(job), [one for one in found.decisions if one.get("job") == job.pk])
        for job in jobs
    ]
    result = next((job for job in jobs if job.pk == found.result_job_id.removeprefix("job:")), None)
    lead = lead_of(result) if result else None
    return {
        "section": "dashboard",
        "project": found.project,
        "run": found,
        "is_open": found.state in Run.OPEN,
        "steps": steps,
        "conclusions": [one for one in found.decisions if one.get("job") not in known],
        "numbers": _numbers(found.key_numbers, lead),
        "lead": lead,
        "files_bytes": size_of(artifacts_in(jobs)),
        "parameters": parameter_lines("run", found.workflow, found.parameters),
        "foreseen": foreseen_of_run(actor, found),
        "shown_warnings": [text for text in found.warnings if text != found.doubt],
        "classes_url": _class_gallery(jobs),
        "waiting": waiting_of(jobs[-1]) if jobs else None,
        "done": sum(job.state in Job.SUCCEEDED for job in jobs),
        "set_aside": sum(job.exceptions for job in jobs),
        **_rights(actor, found.organization_id),
    }


def _numbers(metrics: dict[str, Any], lead: Lead | None) -> list[Spoken]:
    """Without those that stand beside the map."""
    told = LIMITS if lead and lead.turns else ()
    return [spoken_number(name, value) for name, value in metrics.items() if name not in told]


def _class_gallery(jobs: list[Job]) -> str:
    """Where the classes of a run are looked at and chosen by hand."""
    classified = (job for job in jobs if job.job_type == "class2d" and job.state in Job.SUCCEEDED)
    return next((f"/jobs/{job.pk}/look/classes/" for job in classified), "")


def _rights(actor: Actor, organization_id: str) -> dict[str, bool]:
    role = role_in(actor, organization_id) or 0
    return {"may_edit": may_add(actor, organization_id), "may_delete": role >= Role.EDITOR}


@require_GET
@members_only
@or_in_trash(Job)
def job(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    found = get(actor, Job, job_id)
    read_notices(actor=actor, subject_id=found.pk)
    lead = lead_of(found)
    numbers = _numbers(found.metrics, lead)
    context = _live_context(found, drawn=lead.curve) | {
        "section": "dashboard",
        "project": found.project,
        "numbers": numbers[:8],
        "more_numbers": numbers[8:],
        "lead": lead,
        "all_numbers": numbers,
        "inputs": input_links(actor, found),
        "readers": readers(found),
        "next_jobs": next_jobs(found) if found.state in Job.SUCCEEDED else [],
        "parameters": parameter_lines("job", found.job_type, found.parameters),
        "foreseen": foreseen_of_job(actor, found),
        "attempts": attempt_lines(actor, found),
        "exceptions": exception_rows(found),
        **_rights(actor, found.organization_id),
        "log": log_tail(found, LOG_TAIL_BYTES),
        "cloned_from": visible(actor, Job).filter(pk=found.cloned_from_id).first(),
    }
    return render(request, "runs/job.html", context)


@require_GET
@members_only
def job_live(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    """State, progress and plots of a job at work; once it has ended the whole page is fetched again."""
    found = get(actor, Job, job_id)
    answer = render(request, "runs/job_live.html", _live_context(found) | {"is_update": True})
    if found.state in Job.ENDED:
        answer["HX-Refresh"] = "true"
    return answer


def _live_context(found: Job, drawn: str = "") -> dict[str, Any]:
    """``drawn`` is the plot that the page draws itself."""
    plots = [plot for plot in plots_of(found) if plot.name != drawn]
    return {
        "job": found,
        "is_open": found.state not in Job.ENDED,
        "plots": plots[:PLOTS_SHOWN],
        "more_plots": plots[PLOTS_SHOWN:],
        "waiting": waiting_of(found),
        "is_repeatable": found.state in REPEATABLE,
        "time_left": time_left_of(found) if found.state == Job.State.RUNNING else "",
    }


@require_GET
@members_only
def job_log(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    """The log as plain text; within the page only its end."""
    found = get(actor, Job, job_id)
    if request.headers.get("HX-Request"):
        text = log_tail(found, LOG_TAIL_BYTES)
        return render(request, "runs/log_tail.html", {"log": text, "job": found})
    text = log_tail(found, LOG_BYTES_MAX)
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


@require_POST
@members_only
def write_notes(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    found = get(actor, Job, job_id, needs=Role.EDITOR)
    notes = request.POST.get("notes", "").replace("\r\n", "\n")
    services.set_job_notes(actor=actor, job=found, notes=notes)
    messages.success(request, "The notes are kept.")
    return redirect("job", job_id=found.pk)


@require_POST
@members_only
def cancel_job(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    found = get(actor, Job, job_id, needs=Role.EDITOR, purpose=Purpose.READ)
    _try(request, lambda: services.cancel_job(actor=actor, job=found))
    return redirect("job", job_id=found.pk)


@require_POST
@members_only
def retry_job(request: HttpRequest, actor: Actor, job_id: str) -> HttpResponse:
    found = get(actor, Job, job_id, needs=Role.EDITOR)
    _try(request, lambda: services.retry_job(actor=actor, job=found))
    return redirect("job", job_id=found.pk)


@require_POST
@members_only
def cancel_run(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponse:
    found = get(actor, Run, run_id, needs=Role.EDITOR, purpose=Purpose.READ)
    _try(request, lambda: services.cancel_run(actor=actor, run=found))
    return redirect("run", run_id=found.pk)


@require_POST
@members_only
def accept_doubt(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponse:
    found = get(actor, Run, run_id, needs=Role.EDITOR)
    _try(request, lambda: services.accept_doubt(actor=actor, run=found))
    return redirect("run", run_id=found.pk)


@require_POST
@members_only
def retry_run(request: HttpRequest, actor: Actor, run_id: str) -> HttpResponse:
    found = get(actor, Run, run_id, needs=Role.EDITOR)
    _try(request, lambda: services.retry_run(actor=actor, run=found))
    return redirect("run", run_id=found.pk)


def _try(request: HttpRequest, act: Callable[[], object]) -> None:
    """Somebody else, or the job itself, may have been quicker: that is said on the page, which shows the new state."""
    try:
        act()
    except (Conflict, QuotaExceeded) as refusal:
        messages.warning(request, str(refusal))


@require_GET
@members_only
def compare(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Two jobs side by side; without the second one, a choice of jobs of the same type."""
    one = get(actor, Job, request.GET.get("a", ""))
    enter_organization_of(actor, Job, one.pk)
    if not request.GET.get("b"):
        same = one.project.jobs.filter(job_type=one.job_type).exclude(pk=one.pk).order_by("-number")[:100]
        choices = [(job, key_number(job)) for job in same]
        context = {"section": "dashboard", "project": one.project, "one": one, "choices": choices}
        return render(request, "runs/compare_with.html", context)
    other = get(actor, Job, request.GET["b"])
    plots = [{plot.name: plot.url for plot in plots_of(job)} for job in (one, other)]
    context = {
        "section": "dashboard",
        "project": one.project,
        "one": one,
        "other": other,
        "tables": [
            ("Numbers", _compared(_metrics(one), _metrics(other)), "numbers"),
            ("Parameters", _compared(_parameters(one), _parameters(other)), "parameters"),
        ],
        "plots": [
            (name, plots[0].get(name), plots[1].get(name))
            for name in _joined(plots[0], plots[1])[:PLOTS_SHOWN]
        ],
    }
    return render(request, "runs/compare.html", context)


@dataclass(frozen=True)
class Shown:
    """One side of a comparison."""

    label: str
    help: str
    text: str


def _parameters(found: Job) -> dict[str, Shown]:
    lines: list[ParameterLine] = parameter_lines("job", found.job_type, found.parameters)
    shown = {line.name: Shown(line.title, line.help, line.text) for line in lines}
    return shown | {"seed": Shown("Seed", SEED_HELP, str(found.seed))}


def _metrics(found: Job) -> dict[str, Shown]:
    spoken = [spoken_number(name, value) for name, value in found.metrics.items()]
    return {one.name: Shown(one.label, one.help, one.text) for one in spoken}


def _joined(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [*one, *(name for name in other if name not in one)]


def _compared(one: dict[str, Shown], other: dict[str, Shown]) -> list[ComparedLine]:
    """Lines that differ come first."""
    lines = []
    for name in _joined(one, other):
        known = one.get(name) or other[name]
        left, right = (side[name].text if name in side else NOT_KNOWN for side in (one, other))
        lines.append(ComparedLine(known.label, known.help, left, right))
    return sorted(lines, key=lambda line: not line.differs)


urlpatterns: list[URLPattern] = [
    *orders.urlpatterns,
    path("runs/<str:run_id>/", run, name="run"),
    path("runs/<str:run_id>/live/", run_live, name="run_live"),
    path("runs/<str:run_id>/cancel/", cancel_run, name="cancel_run"),
    path("runs/<str:run_id>/retry/", retry_run, name="retry_run"),
    path("runs/<str:run_id>/accept/", accept_doubt, name="accept_doubt"),
    path("jobs/<str:job_id>/", job, name="job"),
    path("jobs/<str:job_id>/live/", job_live, name="job_live"),
    path("jobs/<str:job_id>/log/", job_log, name="job_log"),
    path("jobs/<str:job_id>/notes/", write_notes, name="write_notes"),
    path("jobs/<str:job_id>/cancel/", cancel_job, name="cancel_job"),
    path("jobs/<str:job_id>/retry/", retry_job, name="retry_job"),
    path("compare/", compare, name="compare"),
]
