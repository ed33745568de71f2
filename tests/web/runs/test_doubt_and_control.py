"""What is not to be trusted stops a run and marks all that is made from it; a control is never taken for a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cryocloud.catalog import load_job_type
from cryocloud.catalog.base import Input, Parameters
from cryocloud.catalog.types.abinitio import JOB_TYPE as ABINITIO
from cryocloud.catalog.workflow import Conclusion, Plan, Step, Workflow
from cryocloud.catalog.workflows.spa import SpaParameters
from cryocloud.web.organizations.models import Role
from cryocloud.web.pages.dashboard import project_page
from cryocloud.web.pages.input_choices import input_choices
from cryocloud.web.pages.job_graph import graph_of
from cryocloud.web.projects.models import Project
from cryocloud.web.results.files import marked_name
from cryocloud.web.runs import services
from cryocloud.web.runs.dataset_usage import jobs_reading
from cryocloud.web.runs.models import Job, Run
from platform_orders import finished_job, make_dataset

DOUBT = "The <counts> are not to be trusted."
Turn = Callable[..., None]


def doubtful_plan(parameters: Any, inputs: Mapping[str, str]) -> Plan:
    first = yield Step("counting", {}, {"steps": 1})
    second = yield Step("counting", {"input": first.file("sum.txt")}, {"steps": 1}, doubt=DOUBT)
    yield Step("counting", {}, {"steps": 1}, control=True)
    return Conclusion(result=second.folder, warnings=(DOUBT,), key_numbers={"resolution_angstrom": 4.2})


@pytest.fixture
def run(owner: Any, project: Project, monkeypatch: pytest.MonkeyPatch, turn_until: Turn) -> Run:
    """A run that has come to the doubtful step."""
    workflow = Workflow("spa", "Doubtful", "", SpaParameters, (), doubtful_plan)
    for module in ("orders", "advance"):
        monkeypatch.setattr(f"cryocloud.web.runs.{module}.load_workflow", {"spa": workflow}.__getitem__)
    known = {"pixel_size_angstrom": 1.5, "voltage_kv": 300.0, "spherical_aberration_mm": 2.7,
             "amplitude_contrast": 0.1, "particle_diameter_angstrom": 125.0}  # fmt: skip
    made = services.start_run(actor=owner.actor, project=project, workflow="spa", parameters=known, inputs={})
    turn_until(lambda: Run.unscoped.get(pk=made.pk).state != Run.State.RUNNING)
    made.refresh_from_db()
    return made


def test_a_run_waits_for_a_person_where_a_result_is_doubtful(owner: Any, run: Run) -> None:
    assert (run.state, run.doubt, run.finished_at) == ("waiting", DOUBT, None)
    assert run.jobs.count() == 1
    page = owner.client.get(f"/runs/{run.pk}/").content.decode()
    assert "This run needs you" in page and "The &lt;counts&gt; are not to be trusted." in page
    assert "Go on all the same" in page and "Give a reference map" in page and "Needs you" in page
    answer = owner.client.get(f"/api/v1/runs/{run.pk}").json()
    assert (answer["state"], answer["doubt"]) == ("waiting", DOUBT)


def test_who_may_not_edit_is_not_asked(owner: Any, make_member: Callable[..., Any], run: Run) -> None:
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    page = viewer.client.get(f"/runs/{run.pk}/").content.decode()
    assert "This run needs you" in page and "Go on all the same" not in page
    assert viewer.client.post(f"/runs/{run.pk}/accept/").status_code == 403
    assert viewer.client.post(f"/api/v1/runs/{run.pk}/accept").status_code == 403


def test_a_run_that_waits_can_be_cancelled(owner: Any, run: Run) -> None:
    owner.client.post(f"/runs/{run.pk}/cancel/")
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_a_run_that_waits_keeps_its_data(owner: Any, project: Project) -> None:
    dataset = make_dataset(owner)
    Run.unscoped.create(
        organization=owner.organization, project=project, number=7, workflow="spa", parameters={},
        inputs={"micrographs": f"dataset:{dataset.pk}"}, state=Run.State.WAITING, created_by_id=owner.user.pk,
    )  # fmt: skip
    assert [(use.label, use.is_active) for use in jobs_reading(dataset)] == [("run 7 (spa)", True)]


def test_what_was_accepted_stays_marked_to_the_end(owner: Any, run: Run, turn_until: Turn) -> None:
    assert owner.client.post(f"/runs/{run.pk}/accept/").status_code == 302
    turn_until(lambda: Run.unscoped.get(pk=run.pk).state != Run.State.RUNNING)
    run.refresh_from_db()
    _, second, control = run.jobs.order_by("number")
    assert (run.state, run.standing, run.doubt_accepted_by_id) == ("done", "doubtful", owner.user.pk)
    assert (second.doubt, second.standing, control.standing) == (DOUBT, "doubtful", "control")
    pages = [
        f"/runs/{run.pk}/",
        f"/jobs/{second.pk}/",
        f"/jobs/{second.pk}/look/map/",
        f"/jobs/{second.pk}/files/",
    ]
    for address in pages:
        page = owner.client.get(address).content.decode()
        assert "<strong>Not to be trusted.</strong> The &lt;counts&gt;" in page, address
        assert 'data-state="done">Done' not in page.split("<h2")[0], address
    assert marked_name(second, "map.mrc") == "not-to-be-trusted map.mrc"
    download = owner.client.get(f"/jobs/{second.pk}/files/download/")
    assert "not-to-be-trusted" in download["Content-Disposition"]
    assert owner.client.post(f"/api/v1/runs/{run.pk}/accept").status_code == 409


def test_a_run_from_a_doubtful_input_is_no_better_than_that(
    owner: Any, project: Project, monkeypatch: pytest.MonkeyPatch, turn_until: Turn
) -> None:
    given = finished_job(owner, project, "abinitio", ("volume_class1.mrc",), doubt=DOUBT)

    def plan(parameters: Any, inputs: Mapping[str, str]) -> Plan:
        made = yield Step("counting", {"input": inputs["reference"]}, {"steps": 1})
        return Conclusion(result=made.folder)

    workflow = Workflow("from", "From", "", Parameters, (Input("reference", "map", ""),), plan)
    for module in ("orders", "advance"):
        monkeypatch.setattr(f"cryocloud.web.runs.{module}.load_workflow", {"from": workflow}.__getitem__)
    run = services.start_run(
        actor=owner.actor, project=project, workflow="from", parameters={},
        inputs={"reference": f"job:{given.pk}/volume_class1.mrc"},
    )  # fmt: skip
    turn_until(lambda: Run.unscoped.get(pk=run.pk).state != Run.State.RUNNING)
    run.refresh_from_db()
    assert (run.state, run.standing, run.doubt) == ("done", "doubtful", DOUBT), run.message


def test_nothing_made_from_a_doubtful_result_or_a_control_looks_like_a_result(
    owner: Any, project: Project, run: Run, turn_until: Turn
) -> None:
    services.accept_doubt(actor=owner.actor, run=run)
    turn_until(lambda: Run.unscoped.get(pk=run.pk).state != Run.State.RUNNING)
    _, second, control = run.jobs.order_by("number")
    for source, standing in ((second, "doubtful"), (control, "control")):
        made = services.create_job(
            actor=owner.actor, project=project, job_type="counting", parameters={"steps": 1},
            inputs={"input": f"job:{source.pk}/sum.txt"},
        )  # fmt: skip
        turn_until(lambda job=made: Job.unscoped.get(pk=job.pk).state in Job.ENDED)
        assert Job.unscoped.get(pk=made.pk).standing == standing
    page = owner.client.get(f"/jobs/{control.pk}/").content.decode()
    assert "A control, not a result" in page and "counts as that of any job" in page
    assert owner.client.get(f"/api/v1/jobs/{control.pk}").json()["control"] is True


def test_controls_are_neither_offered_nor_the_latest_result(owner: Any, project: Project) -> None:
    def refined(number: int, resolution_angstrom: float, **marks: Any) -> Job:
        return Job.unscoped.create(
            organization=owner.organization, project=project, number=number, job_type="refine", version=1,
            parameters={}, inputs={}, state=Job.State.DONE, created_by_id=owner.user.pk,
            metrics={"resolution_angstrom": resolution_angstrom}, **marks,
        )  # fmt: skip

    good = refined(1, 4.2)
    refined(2, 540.0, control=True)
    refined(3, 3.1, doubt=DOUBT)
    offered = input_choices(owner.actor, project, Input("reference", "map", ""))
    assert [choice.reference.partition("/")[0] for choice in offered] != []
    assert not any("#2" in choice.label for choice in offered)
    card = project_page(owner.actor, owner.organization).cards[0]
    assert card.resolution == "4.2 Å"
    nodes, _ = graph_of(project.jobs.all(), {})
    assert [node.sub for node in nodes] == ["#1 · 4.2 Å", "#2 · control", "#3 · not to be trusted"]
    assert good.standing == "done"


def test_an_ab_initio_map_tells_by_itself_that_it_is_doubtful() -> None:
    assert "not to be trusted" in ABINITIO.doubt({"trusted": 0})
    assert "not to be trusted" in ABINITIO.doubt({}), "nothing known is no reason to trust"
    assert ABINITIO.doubt({"trusted": 1}) == ""
    assert load_job_type("refine").doubt({}) == ""
