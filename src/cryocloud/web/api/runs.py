from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page, written_out
from cryocloud.web.api.credentials import actor
from cryocloud.web.core.events import events_in_order, job_topic
from cryocloud.web.core.models import Event
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.metering.services import billed_seconds
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs import services
from cryocloud.web.runs.log import TAIL_BYTES_MAX, log_tail
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.orders import SEED_MAX
from cryocloud.web.runs.state_words import OF_ATTEMPTS, OF_JOBS, OF_RUNS, describe_states
from cryocloud.web.scheduling.queue import Waiting, waiting_of

router = Router(tags=["runs"])

EVENTS_AT_ONCE = 500
ID = Field("", max_length=64)
Inputs = dict[str, str]
JobState = Annotated[Job.State, written_out(Job.State)]
RunState = Annotated[Run.State, written_out(Run.State)]
AttemptState = Annotated[Attempt.State, written_out(Attempt.State)]


class JobOut(Schema):
    id: str
    organization_id: str
    project_id: str
    run_id: str | None
    number: int
    job_type: str
    version: int
    parameters: dict[str, Any]
    inputs: Inputs
    seed: int
    state: JobState = Field(description=describe_states(OF_JOBS))
    progress: float
    progress_message: str
    message: str
    metrics: dict[str, Any] = Field(description="By name; /catalog/metrics says what each number is")
    decisions: list[dict[str, Any]]
    warnings: list[str]
    control: bool = Field(description="Measures what the method makes of noise: evidence, not a result")
    doubt: str = Field(
        description="Why the result is not to be trusted; empty where nothing speaks against it"
    )
    exceptions: int
    notes: str
    cloned_from_id: str
    freed_at: datetime | None = Field(description="When its large files were deleted to free space")
    freed_bytes: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class AttemptOut(Schema):
    """One try; seconds are those of the computer that worked, by its own steady clock."""

    id: str
    number: int
    state: AttemptState = Field(description=describe_states(OF_ATTEMPTS))
    exit_code: int | None
    message: str
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    billed_s: int | None = Field(None, description="Seconds billed; none while it is at work")
    started_at: datetime | None
    finished_at: datetime | None


class WaitingOut(Schema):
    """Why a queued job does not run yet."""

    reason: str
    place: int = Field(
        description="In the fair order, 1 is the next; 0 where it cannot start or very many wait"
    )
    starts_in_s: float | None = Field(description="A rough forecast; none where nothing is known")


class JobDetail(JobOut):
    attempts: list[AttemptOut]
    waiting: WaitingOut | None = Field(None, description="While it is queued")

    @staticmethod
    def resolve_waiting(job: Job) -> Waiting | None:
        return waiting_of(job)

    @staticmethod
    def resolve_attempts(job: Job) -> list[dict[str, Any]]:
        attempts = list(job.attempts.order_by("number"))
        billed = billed_seconds(attempts[0].organization_id, [one.pk for one in attempts]) if attempts else {}
        names = AttemptOut.model_fields.keys() - {"billed_s"}
        return [
            {name: getattr(one, name) for name in names} | {"billed_s": billed.get(one.pk)}
            for one in attempts
        ]


class JobIn(Schema):
    job_type: str = Field(max_length=64)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: Inputs = Field(
        default_factory=dict,
        description="By name: dataset:ID, file:ID, job:ID, job:ID/FILE, or a word that the catalog names",
    )
    seed: int = Field(0, ge=0, le=SEED_MAX)


class CloneIn(Schema):
    """What is left out stays as it is in the job that is cloned."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: Inputs = Field(default_factory=dict)
    seed: int | None = Field(None, ge=0, le=SEED_MAX)


class NotesIn(Schema):
    notes: str = Field(max_length=services.NOTES_LENGTH_MAX)


class RunOut(Schema):
    id: str
    organization_id: str
    project_id: str
    number: int
    workflow: str
    parameters: dict[str, Any]
    inputs: Inputs
    seed: int
    state: RunState = Field(description=describe_states(OF_RUNS))
    message: str
    decisions: list[dict[str, Any]]
    warnings: list[str]
    doubt: str = Field(description="Why it waits for a person, or what somebody has accepted")
    key_numbers: dict[str, Any] = Field(description="As the metrics of a job")
    result_job_id: str
    created_at: datetime
    finished_at: datetime | None


class RunDetail(RunOut):
    jobs: list[JobOut]

    @staticmethod
    def resolve_jobs(run: Run) -> list[Job]:
        return list(run.jobs.order_by("number"))


class RunIn(Schema):
    workflow: str = Field(max_length=64)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: Inputs = Field(default_factory=dict)
    seed: int = Field(0, ge=0, le=SEED_MAX)


class LogOut(Schema):
    text: str


class EventOut(Schema):
    id: int
    kind: str
    content: dict[str, Any]
    created_at: datetime


class UsageOut(Schema):
    attempt_id: str
    job_type: str
    wall_s: float
    cpu_s: float
    peak_memory_bytes: int
    billed_s: int
    ended: str
    started_at: datetime
    finished_at: datetime


class JobQuery(PageQuery):
    project_id: str = ID
    run_id: str = ID
    state: JobState | None = None


class RunQuery(PageQuery):
    project_id: str = ID
    state: RunState | None = None


@router.get("/jobs", response={200: Page[JobOut], **ERRORS}, operation_id="list_jobs")
def list_jobs(request: HttpRequest, query: Query[JobQuery]) -> dict[str, Any]:
    """Jobs of your organizations, newest first."""
    rows = _filtered(access.visible(actor(request), Job), query.project_id, query.state)
    return one_page(rows.filter(run_id=query.run_id) if query.run_id else rows, query)


@router.post("/projects/{project_id}/jobs", response={201: JobDetail, **ERRORS}, operation_id="create_job")
def create_job(request: HttpRequest, project_id: str, body: JobIn) -> Status[Job]:
    caller = actor(request)
    project = access.get(caller, Project, project_id, needs=Role.EDITOR)
    job = services.create_job(
        actor=caller,
        project=project,
        job_type=body.job_type,
        parameters=body.parameters,
        inputs=body.inputs,
        seed=body.seed,
    )
    return Status(201, job)


@router.get("/jobs/{job_id}", response={200: JobDetail, **ERRORS}, operation_id="get_job")
def get_job(request: HttpRequest, job_id: str) -> Job:
    """A job with each attempt at it and what that used."""
    return access.get(actor(request), Job, job_id)


@router.patch("/jobs/{job_id}", response={200: JobDetail, **ERRORS}, operation_id="set_job_notes")
def set_job_notes(request: HttpRequest, job_id: str, body: NotesIn) -> Job:
    caller = actor(request)
    job = access.get(caller, Job, job_id, needs=Role.EDITOR)
    services.set_job_notes(actor=caller, job=job, notes=body.notes)
    return job


@router.post("/jobs/{job_id}/cancel", response={200: JobDetail, **ERRORS}, operation_id="cancel_job")
def cancel_job(request: HttpRequest, job_id: str) -> Job:
    """A queued job is cancelled at once; a running one soon after."""
    caller = actor(request)
    job = access.get(caller, Job, job_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    services.cancel_job(actor=caller, job=job)
    return job


@router.post("/jobs/{job_id}/retry", response={200: JobDetail, **ERRORS}, operation_id="retry_job")
def retry_job(request: HttpRequest, job_id: str) -> Job:
    """Queue a failed or cancelled job again; it goes on from its last checkpoint."""
    caller = actor(request)
    job = access.get(caller, Job, job_id, needs=Role.EDITOR)
    services.retry_job(actor=caller, job=job)
    return job


@router.post("/jobs/{job_id}/clone", response={201: JobDetail, **ERRORS}, operation_id="clone_job")
def clone_job(request: HttpRequest, job_id: str, body: CloneIn) -> Status[Job]:
    """A new job like this one, but for what is given."""
    caller = actor(request)
    job = access.get(caller, Job, job_id, needs=Role.EDITOR)
    made = services.clone_job(
        actor=caller, job=job, parameters=body.parameters, inputs=body.inputs, seed=body.seed
    )
    return Status(201, made)


@router.get("/jobs/{job_id}/log", response={200: LogOut, **ERRORS}, operation_id="get_job_log")
def get_job_log(
    request: HttpRequest,
    job_id: str,
    tail_bytes: int = Query(20_000, ge=1, le=TAIL_BYTES_MAX, description="At most so much from the end"),  # type: ignore[type-arg]
) -> dict[str, str]:
    return {"text": log_tail(access.get(actor(request), Job, job_id), tail_bytes)}


@router.get("/jobs/{job_id}/events", response={200: list[EventOut], **ERRORS}, operation_id="list_job_events")
def list_job_events(
    request: HttpRequest,
    job_id: str,
    after: int = Query(0, ge=0, le=2**63 - 1, description="`id` of the last event seen"),  # type: ignore[type-arg]
) -> list[Event]:
    """What happened to a job lately, oldest first, for programs that cannot hold a stream open."""
    job = access.get(actor(request), Job, job_id)
    rows = events_in_order().filter(
        topic=job_topic(job.pk), organization_id=job.organization_id, id__gt=after
    )
    return list(rows.order_by("id")[:EVENTS_AT_ONCE])


@router.get("/runs", response={200: Page[RunOut], **ERRORS}, operation_id="list_runs")
def list_runs(request: HttpRequest, query: Query[RunQuery]) -> dict[str, Any]:
    """Runs of workflows, newest first."""
    return one_page(_filtered(access.visible(actor(request), Run), query.project_id, query.state), query)


@router.post("/projects/{project_id}/runs", response={201: RunDetail, **ERRORS}, operation_id="start_run")
def start_run(request: HttpRequest, project_id: str, body: RunIn) -> Status[Run]:
    """Start a workflow."""
    caller = actor(request)
    project = access.get(caller, Project, project_id, needs=Role.EDITOR)
    run = services.start_run(
        actor=caller,
        project=project,
        workflow=body.workflow,
        parameters=body.parameters,
        inputs=body.inputs,
        seed=body.seed,
    )
    return Status(201, run)


@router.get("/runs/{run_id}", response={200: RunDetail, **ERRORS}, operation_id="get_run")
def get_run(request: HttpRequest, run_id: str) -> Run:
    return access.get(actor(request), Run, run_id)


@router.post("/runs/{run_id}/cancel", response={200: RunDetail, **ERRORS}, operation_id="cancel_run")
def cancel_run(request: HttpRequest, run_id: str) -> Run:
    caller = actor(request)
    run = access.get(caller, Run, run_id, needs=Role.EDITOR, purpose=access.Purpose.READ)
    services.cancel_run(actor=caller, run=run)
    return run


@router.post("/runs/{run_id}/retry", response={200: RunDetail, **ERRORS}, operation_id="retry_run")
def retry_run(request: HttpRequest, run_id: str) -> Run:
    """Go on with a failed or cancelled run where it stopped."""
    caller = actor(request)
    run = access.get(caller, Run, run_id, needs=Role.EDITOR)
    services.retry_run(actor=caller, run=run)
    return run


@router.post("/runs/{run_id}/accept", response={200: RunDetail, **ERRORS}, operation_id="accept_doubt")
def accept_doubt(request: HttpRequest, run_id: str) -> Run:
    """Go on with a waiting run although a result is not to be trusted."""
    caller = actor(request)
    run = access.get(caller, Run, run_id, needs=Role.EDITOR)
    services.accept_doubt(actor=caller, run=run)
    return run


@router.get(
    "/organizations/{organization_id}/usage/attempts",
    response={200: Page[UsageOut], **ERRORS},
    operation_id="list_attempt_usage",
)
def list_attempt_usage(request: HttpRequest, organization_id: str, query: Query[PageQuery]) -> dict[str, Any]:
    """One record for each attempt that has ended, newest first."""
    caller = actor(request)
    organization = access.get_organization(caller, organization_id)
    return one_page(access.within(caller, UsageRecord, organization), query)


def _filtered(rows: QuerySet[Any], project_id: str, state: str | None) -> QuerySet[Any]:
    if project_id:
        rows = rows.filter(project_id=project_id)
    return rows.filter(state=state) if state else rows
