"""Starting workflows and jobs from forms that the catalog declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from cryocloud.catalog import UnknownName, job_type_names, load_job_type, load_workflow, workflow_names
from cryocloud.catalog.workflow import Workflow
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.core.errors import Conflict, NotFound, PlatformError, QuotaExceeded, Refused
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.metering.caps import FIELD as CAP
from cryocloud.web.metering.caps import hours_text
from cryocloud.web.organizations.access import get, visible
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.input_choices import Choice, choice_of, input_choices, picture_of
from cryocloud.web.pages.once import new_order_key, order_once
from cryocloud.web.pages.order_form import (
    FIND,
    INPUT,
    TEXT_LENGTH_MAX,
    Entry,
    Typed,
    default_choice,
    make_form,
    texts_of,
    typed_values,
)
from cryocloud.web.pages.visitor import members_only
from cryocloud.web.projects.models import Project
from cryocloud.web.runs import services
from cryocloud.web.runs.forecasts import OrderForecast
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.runs.preflight import check_order
from cryocloud.web.runs.quotes import quote_of

GROUPS = (
    ("Bring data in", ("import_micrographs", "import_coordinates", "import_particles")),
    ("Micrographs", ("ctf", "curate")),
    ("Particles", ("pick", "edit_picks", "extract", "class2d", "select2d")),
    ("Maps", ("abinitio", "refine", "make_mask", "postprocess", "map_to_model")),
    ("Simulation", ("simulate_map", "simulate_particles", "simulate_micrographs", "compare_truth")),
)


@dataclass(frozen=True)
class Order:
    """A job type or a workflow, and the project it shall run in."""

    project: Project
    entry: Entry

    @property
    def is_workflow(self) -> bool:
        return isinstance(self.entry, Workflow)

    @property
    def kind_and_name(self) -> tuple[str, str]:
        return ("workflow" if self.is_workflow else "job", self.entry.name)


@require_GET
@members_only
def choose_job(request: HttpRequest, actor: Actor, project_id: str) -> HttpResponse:
    """All job types, in the order of their use."""
    project = get(actor, Project, project_id, needs=Role.EDITOR)
    names = set(job_type_names())
    groups = [
        (title, [load_job_type(name) for name in members if name in names]) for title, members in GROUPS
    ]
    other = names - {name for _, members in GROUPS for name in members}
    if other:
        groups.append(("Further", [load_job_type(name) for name in sorted(other)]))
    workflows = [load_workflow(name) for name in workflow_names()]
    context = {"section": "dashboard", "project": project, "groups": groups, "workflows": workflows}
    return render(request, "runs/choose_job.html", context)


@require_http_methods(["GET", "POST"])
@members_only
def new_job(request: HttpRequest, actor: Actor, project_id: str, job_type: str) -> HttpResponse:
    order = _order(actor, project_id, job_type, workflow=False)
    if request.method != "POST":
        return _page(request, actor, order, _sent_for_job(request, actor))
    typed = typed_values(order.entry, request.POST)
    errors = typed.errors
    if not errors:
        try:
            return order_once(request, actor, lambda: _start_job(request, actor, order, typed))
        except (Refused, Conflict, QuotaExceeded) as refusal:
            errors = _fields_of(refusal)
    return _page(request, actor, order, request.POST, errors=errors)


@require_http_methods(["GET", "POST"])
@members_only
def new_run(request: HttpRequest, actor: Actor, project_id: str, workflow: str) -> HttpResponse:
    order = _order(actor, project_id, workflow, workflow=True)
    if request.method != "POST":
        return _page(request, actor, order, _sent_for_run(request, actor))
    typed = typed_values(order.entry, request.POST)
    errors = typed.errors
    if not errors:
        try:
            return order_once(request, actor, lambda: _start_run(actor, order, typed))
        except (Refused, Conflict, QuotaExceeded) as refusal:
            errors = _fields_of(refusal)
    return _page(request, actor, order, request.POST, errors=errors)


def _start_job(request: HttpRequest, actor: Actor, order: Order, typed: Typed) -> str:
    made = services.create_job(
        actor=actor,
        project=order.project,
        job_type=order.entry.name,
        parameters=typed.parameters,
        inputs=typed.inputs,
        seed=typed.seed,
        cloned_from_id=request.POST.get("cloned_from", "")[:64],
    )
    return reverse("job", kwargs={"job_id": made.pk})


def _start_run(actor: Actor, order: Order, typed: Typed) -> str:
    made = services.start_run(
        actor=actor,
        project=order.project,
        workflow=order.entry.name,
        parameters=typed.parameters,
        inputs=typed.inputs,
        seed=typed.seed,
        compute_cap_s=typed.compute_cap_s,
    )
    return reverse("run", kwargs={"run_id": made.pk})


def _fields_of(refusal: PlatformError) -> dict[str, str]:
    """Messages by field; what concerns no field stands above the form, which keeps what was typed."""
    fields = refusal.fields if isinstance(refusal, Refused) else {}
    return fields or {"": str(refusal)}


@require_POST
@members_only
def check_job(request: HttpRequest, actor: Actor, project_id: str, job_type: str) -> HttpResponse:
    return _findings(request, actor, _order(actor, project_id, job_type, workflow=False))


@require_POST
@members_only
def check_run(request: HttpRequest, actor: Actor, project_id: str, workflow: str) -> HttpResponse:
    return _findings(request, actor, _order(actor, project_id, workflow, workflow=True))


def _order(actor: Actor, project_id: str, name: str, *, workflow: bool) -> Order:
    project = get(actor, Project, project_id, needs=Role.EDITOR)
    try:
        return Order(project, load_workflow(name) if workflow else load_job_type(name))
    except UnknownName:
        raise NotFound from None


def _sent_for_job(request: HttpRequest, actor: Actor) -> QueryDict:
    clone = request.GET.get("clone", "")
    if not clone:
        return request.GET
    job = get(actor, Job, clone)
    return texts_of(job.parameters, job.inputs, job.seed)


def _sent_for_run(request: HttpRequest, actor: Actor) -> QueryDict:
    clone = request.GET.get("clone", "")
    if not clone:
        return request.GET
    run = get(actor, Run, clone)
    sent = texts_of(run.parameters, run.inputs, run.seed)
    sent[CAP] = hours_text(run.compute_cap_s)
    return sent


def _page(
    request: HttpRequest, actor: Actor, order: Order, sent: QueryDict, *, errors: dict[str, str] | None = None
) -> HttpResponse:
    """The whole form, or for htmx only its fields, drawn again for another input or another search."""
    choices: dict[str, list[Choice]] = {}
    chosen: list[str] = []
    for one in order.entry.inputs:
        choices[one.name] = input_choices(
            actor,
            order.project,
            one,
            beside=chosen[0] if chosen else "",
            text=sent.get(FIND + one.name, "")[:TEXT_LENGTH_MAX],
        )
        given = sent.get(INPUT + one.name, "")[:TEXT_LENGTH_MAX]
        if given and given not in {choice.reference for choice in choices[one.name]}:
            found = choice_of(actor, given)
            choices[one.name] = [*([found] if found else []), *choices[one.name]]
        chosen.append(given or default_choice(choices[one.name]))
    form = make_form(
        order.entry, choices, sent=sent, profile=_profile(actor, chosen), errors=dict(errors or {})
    )
    for field in form.inputs:
        field.picture = picture_of(actor, field.value)
    context = {
        "section": "dashboard",
        "project": order.project,
        "order": order,
        "entry": order.entry,
        "form": form,
        "order_key": new_order_key(),
        "cloned_from": request.GET.get("clone", request.POST.get("cloned_from", ""))[:64],
    }
    template = "runs/order_fields.html" if _is_partial(request) else "runs/order.html"
    return render(request, template, context, status=422 if errors else 200)


def _is_partial(request: HttpRequest) -> bool:
    return request.method == "GET" and request.headers.get("HX-Request") == "true"


def _profile(actor: Actor, references: list[str]) -> dict[str, Any]:
    """The microscope of the first dataset among the inputs."""
    for reference in references:
        kind, _, target = reference.partition(":")
        dataset = None
        if kind == "dataset":
            dataset = visible(actor, Dataset).filter(pk=target).first()
        elif kind == "file":
            file = visible(actor, DatasetFile).select_related("dataset").filter(pk=target).first()
            dataset = file.dataset if file else None
        if dataset is not None:
            return dict(dataset.profile)
    return {}


def _findings(request: HttpRequest, actor: Actor, order: Order) -> HttpResponse:
    """What is already known of this order: messages beside the fields, the forecast beside the button."""
    typed = typed_values(order.entry, request.POST)
    by_field: dict[str, list[tuple[str, str]]] = {}
    for name, text in typed.errors.items():
        if _was_touched(request.POST, order.entry, name):
            by_field.setdefault(name, []).append(("error", text))
    forecast = None if typed.errors else _check(actor, order, typed, by_field)
    names = [
        *(one.name for one in order.entry.inputs),
        *order.entry.parameters.model_fields,
        "seed",
        *([CAP] if order.is_workflow else []),
    ]
    context = {
        "fields": [(name, by_field.get(name, [])) for name in names],
        "general": [finding for name, found in by_field.items() if name not in names for finding in found],
        "has_errors": any(level == "error" for found in by_field.values() for level, _ in found),
        "is_complete": not typed.errors,
        "forecast": forecast,
        "quote": quote_of(order.project, forecast.wall_s) if forecast else None,
    }
    return render(request, "runs/findings.html", context)


def _check(
    actor: Actor, order: Order, typed: Typed, by_field: dict[str, list[tuple[str, str]]]
) -> OrderForecast | None:
    checked = check_order(
        actor=actor,
        project=order.project,
        kind_and_name=order.kind_and_name,
        parameters=typed.parameters,
        inputs=typed.inputs,
    )
    for finding in checked.findings:
        by_field.setdefault(finding.field, []).append((finding.level, finding.text))
    return checked.forecast


def _was_touched(sent: QueryDict, entry: Entry, name: str) -> bool:
    """An empty required field is no mistake before somebody presses the button."""
    return name not in entry.parameters.model_fields or bool(sent.get(f"parameter-{name}", "").strip())


urlpatterns: list[URLPattern] = [
    path("projects/<str:project_id>/jobs/new/", choose_job, name="choose_job"),
    path("projects/<str:project_id>/jobs/<str:job_type>/new/", new_job, name="new_job"),
    path("projects/<str:project_id>/jobs/<str:job_type>/check/", check_job, name="check_job"),
    path("projects/<str:project_id>/workflows/<str:workflow>/new/", new_run, name="new_run"),
    path("projects/<str:project_id>/workflows/<str:workflow>/check/", check_run, name="check_run"),
]
