"""A run goes on: its workflow is replayed over the jobs that have ended, and the next job is made.

Called inside the transaction that ended a job, so that there is never an ended job whose run does not know of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.db.models import Max

from cryocloud.catalog import load_job_type, load_workflow
from cryocloud.catalog.workflow import Conclusion, Decision, Finished, Step
from cryocloud.compute.attempt import BAD_INPUT
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.forecasts import forecast_of_job
from cryocloud.web.runs.lineage import references_of
from cryocloud.web.runs.models import Job, Run
from cryocloud.web.runs.notices import publish_job, publish_run, tell_of_run

_log = logging.getLogger("cryocloud.runs")
FAULT = (
    "A fault of the program stopped this run, not your data; what is done stays. Tell whoever runs the platform the "
    "number {run_id}."
)


class _Waiting(Exception):
    """The latest job of the run has not ended."""


class _Doubtful(Exception):
    """The next step would build on a result that is not to be trusted, and nobody has accepted that."""


class _Stopped(Exception):
    """A job ended without a result that the workflow could go on with."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.pk)
        self.job = job


class Replay:
    """One pass over the workflow with what its jobs have given so far."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.jobs = list(run.jobs.order_by("number"))
        self.decisions: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def next_step(self) -> Step | Conclusion:
        """The first step that has no job, or the conclusion."""
        workflow = load_workflow(self.run.workflow)
        plan = workflow.plan(workflow.parameters.model_validate(self.run.parameters), self.run.inputs)
        try:
            step = next(plan)
            for job in self.jobs:
                self._record(job.pk, (asdict(decision) for decision in step.decisions))
                step = plan.send(self._finished(job))
                self._doubt(step)
        except StopIteration as stop:
            conclusion: Conclusion = stop.value
            self._record("", (asdict(decision) for decision in conclusion.decisions))
            return conclusion
        return step

    def _doubt(self, step: Step) -> None:
        if step.doubt:
            self.run.doubt = step.doubt
            if not self.run.doubt_accepted_by_id:
                raise _Doubtful

    def _finished(self, job: Job) -> Finished:
        if job.state not in Job.ENDED:
            raise _Waiting
        if job.state in Job.SUCCEEDED:
            self._record(job.pk, (asdict(Decision(**decision)) for decision in job.decisions))
            self.warnings += [f"{load_job_type(job.job_type).title}: {text}" for text in job.warnings]
            return Finished(f"job:{job.pk}", job.metrics)
        latest = job.attempts.order_by("-number").first()
        if job.optional and job.state == Job.State.FAILED and latest and latest.exit_code == BAD_INPUT:
            return Finished(f"job:{job.pk}", {}, job.message)
        raise _Stopped(job)

    def _record(self, job_id: str, decisions: Iterable[dict[str, Any]]) -> None:
        self.decisions += [{"job": job_id, **decision} for decision in decisions]


def advance_run(run_id: str) -> Job | None:
    """Make the next job, end the run, or let it ask a person; nothing unless it is running and its job has ended."""
    held = Run.unscoped.select_for_update(of=("self",), no_key=True)
    run = held.select_related("project").get(pk=run_id)
    if run.state != Run.State.RUNNING:
        return None
    replay = Replay(run)
    try:
        following = replay.next_step()
        made = _make_step(run, following) if isinstance(following, Step) else None
    except _Waiting:
        return None
    except _Doubtful:
        run.state = Run.State.WAITING
        made = None
    except _Stopped as stopped:
        _end_without_result(run, stopped.job)
        made = None
    except Exception:
        # A workflow that trips over a result must not undo the end of the job that gave it.
        _log.exception("workflow failed", extra={"run_id": run.pk, "workflow": run.workflow})
        _end(run, Run.State.FAILED, FAULT.format(run_id=run.pk))
        made = None
    else:
        if isinstance(following, Conclusion):
            _conclude(run, following)
            replay.warnings += following.warnings
        if isinstance(following, Step) and made:
            replay._record(made.pk, (asdict(decision) for decision in following.decisions))
    run.decisions, run.warnings = replay.decisions, replay.warnings
    run.save()
    publish_run(run)
    tell_of_run(run)
    return made


def _make_step(run: Run, step: Step) -> Job:
    job_type = load_job_type(step.job_type)
    parameters = job_type.parameters.model_validate(dict(step.parameters)).model_dump(mode="json")
    return add_job(
        Job(
            organization_id=run.organization_id,
            project=run.project,
            run=run,
            job_type=step.job_type,
            version=job_type.version,
            parameters=parameters,
            inputs=dict(step.inputs),
            seed=run.seed,
            optional=step.optional,
            control=step.control,
            doubt=run.doubt,
            created_by_id=run.created_by_id,
        )
    )


def add_job(job: Job) -> Job:
    """Save a new job under the next number of its project, whose row is locked meanwhile.

    What it is made from may not be trusted, or be no result at all; then neither is what it makes.
    """
    lock_project(job.project_id)
    makers = [reference.id for reference in references_of(job) if reference.kind == "job"]
    sources = list(Job.unscoped.filter(project_id=job.project_id, pk__in=makers))
    job.doubt = job.doubt or next((one.doubt for one in sources if one.doubt), "")
    job.control = job.control or any(one.control for one in sources)
    job.forecast = forecast_of_job(job)
    job.number = (Job.with_trash.filter(project_id=job.project_id).aggregate(n=Max("number"))["n"] or 0) + 1
    job.save(force_insert=True)
    publish_job(job)
    return job


def lock_project(project_id: str) -> None:
    """Hold it, so that no two jobs or runs get the same number, and none begins in a project that is being deleted."""
    if Project.unscoped.select_for_update(no_key=True).filter(pk=project_id).first() is None:
        raise Conflict("The project is in the trash; restore it before you start something in it.")


def _conclude(run: Run, conclusion: Conclusion) -> None:
    """A run is no better than its result, which may rest on what somebody gave it as an input."""
    run.key_numbers = dict(conclusion.key_numbers)
    run.result_job_id = conclusion.result.removeprefix("job:")
    result = run.jobs.filter(pk=run.result_job_id).first()
    run.doubt = run.doubt or (result.doubt if result else "")
    _end(run, Run.State.DONE, "")


def _end_without_result(run: Run, job: Job) -> None:
    if job.state == Job.State.CANCELLED:
        _end(run, Run.State.CANCELLED, job.message or f"{_called(job)} was cancelled.")
    else:
        _end(run, Run.State.FAILED, f"{_called(job)} failed: {job.message}")


def _called(job: Job) -> str:
    return f"Job {job.number} ({load_job_type(job.job_type).title})"


def _end(run: Run, state: Run.State, message: str) -> None:
    run.state, run.message, run.finished_at = state, message, now()
