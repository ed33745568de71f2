"""A workflow over the database: each job is made by the end of the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cryocloud.catalog.base import Parameters
from cryocloud.catalog.workflow import Conclusion, Plan, Step, Workflow
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.services import cancel_run, retry_run, start_run
from platform_orders import make_dataset

pytestmark = pytest.mark.usefixtures("counting")
Turn = Callable[..., None]


def tally(member: Any, project: Project, workflow: str = "tally", **parameters: Any) -> Run:
    file = make_dataset(member, {"a.txt": b"1"}).files.get()
    return start_run(
        actor=member.actor, project=project, workflow=workflow, parameters=parameters,
        inputs={"input": f"file:{file.pk}"} if workflow == "tally" else {},
    )  # fmt: skip


def has_ended(run: Run) -> Callable[[], bool]:
    def look() -> bool:
        run.refresh_from_db()
        return run.state != Run.State.RUNNING

    return look


def test_a_run_concludes_with_numbers_warnings_decisions_and_its_result(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    run = tally(owner, project, steps=2)
    turn_until(has_ended(run))
    first, second = run.jobs.order_by("number")
    assert (run.state, run.key_numbers, run.result_job_id) == ("done", {"sum": 3}, second.pk)
    assert run.warnings == ["counts are <not> to be trusted"]
    assert second.inputs == {"input": f"job:{first.pk}/sum.txt"} and second.parameters["steps"] == 3
    made = [(one["job"], one["what"]) for one in run.decisions]
    assert made == [(first.pk, "limit"), (second.pk, "second count"), ("", "evidence")]


def test_warnings_of_its_jobs_are_those_of_the_run(owner: Any, project: Project, turn_until: Turn) -> None:
    run = tally(owner, project, steps=2, mishap="doubt")
    turn_until(has_ended(run))
    assert run.state == "done", run.message
    doubt = "sum.txt may be <wrong>"
    assert [job.warnings for job in run.jobs.order_by("number")] == [[], [doubt]]
    assert run.warnings == [f"Counting: {doubt}", "counts are <not> to be trusted"]
    page = owner.client.get(f"/jobs/{run.result_job_id}/").content.decode()
    assert "may be &lt;wrong&gt;" in page.split("Look and download")[0]
    assert owner.client.get(f"/api/v1/jobs/{run.result_job_id}").json()["warnings"] == [doubt]


def test_a_failed_step_fails_the_run_which_goes_on_once_it_can(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    run = tally(owner, project, steps=2, mishap="killed")
    turn_until(has_ended(run))
    assert run.state == "failed" and "Job 2 (Counting) failed" in run.message
    assert [job.state for job in run.jobs.order_by("number")] == ["done", "failed"]
    retry_run(actor=owner.actor, run=run)
    assert run.state == "running"
    turn_until(has_ended(run))
    assert (run.state, run.message) == ("done", "")
    assert UsageRecord.unscoped.count() == 3 and run.jobs.count() == 2


def test_a_run_is_cancelled_while_its_job_works(owner: Any, project: Project, turn_until: Turn) -> None:
    run = tally(owner, project, steps=2, step_s=2)
    turn_until(lambda: Attempt.unscoped.filter(job__number=2, state="running").exists())
    cancel_run(actor=owner.actor, run=run)
    turn_until(lambda: not Job.unscoped.exclude(state__in=Job.ENDED).exists())
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert [job.state for job in run.jobs.order_by("number")] == ["done", "cancelled"]


def optional_plan(parameters: Any, inputs: Mapping[str, str]) -> Plan:
    tried = yield Step("counting", {}, {"steps": 1, "mishap": parameters.mishap}, optional=True)
    last = yield Step("counting", {}, {"steps": 2 if tried.failure else 1})
    return Conclusion(result=last.folder, warnings=(tried.failure,), key_numbers={"sum": last.metric("sum")})


def tripping_plan(parameters: Any, inputs: Mapping[str, str]) -> Plan:
    first = yield Step("counting", {}, {"steps": 1})
    return Conclusion(result=first.folder, key_numbers={"sum": first.metric("no such number")})


class MishapParameters(Parameters):
    mishap: str = "bad_input"


@pytest.fixture
def workflows(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        name: Workflow(name, name, "", MishapParameters, (), plan)
        for name, plan in (("optional", optional_plan), ("tripping", tripping_plan))
    }
    for module in ("orders", "advance"):
        monkeypatch.setattr(f"cryocloud.web.runs.{module}.load_workflow", made.__getitem__)


@pytest.mark.usefixtures("workflows")
@pytest.mark.parametrize(("mishap", "state"), [("bad_input", "done"), ("bug", "failed")])
def test_an_optional_step_may_refuse_its_input_but_not_break(
    owner: Any, project: Project, turn_until: Turn, mishap: str, state: str
) -> None:
    run = tally(owner, project, "optional", mishap=mishap)
    turn_until(has_ended(run))
    assert run.state == state, run.message
    if state == "done":
        assert run.key_numbers == {"sum": 2} and "pixel size 0" in run.warnings[0]


@pytest.mark.usefixtures("workflows")
def test_a_workflow_that_trips_over_a_result_does_not_undo_it(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    run = tally(owner, project, "tripping")
    turn_until(has_ended(run))
    assert run.state == "failed" and f"the number {run.pk}" in run.message and "metrics" not in run.message
    assert run.jobs.get().state == "done" and UsageRecord.unscoped.count() == 1
