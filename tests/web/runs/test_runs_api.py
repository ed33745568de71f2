"""Jobs and runs over the API; strangers get the same answer as for what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run
from platform_orders import OPTICS, make_dataset

IMPORT = {"job_type": "import_micrographs", "parameters": OPTICS}


def ordered(member: Any, project: Project, **changes: Any) -> Any:
    body = {**IMPORT, "inputs": {"input": f"dataset:{make_dataset(member).pk}"}} | changes
    answer = member.api("POST", f"/projects/{project.pk}/jobs", body)
    assert answer.status_code == 201, answer.content
    return answer.json()


@pytest.mark.django_db(transaction=True)  # events of an open transaction are told to nobody
def test_a_job_from_order_to_clone(owner: Any, project: Project) -> None:
    job = ordered(owner, project, seed=7)
    path = f"/jobs/{job['id']}"
    assert (job["number"], job["state"], job["attempts"]) == (1, "queued", [])
    assert owner.api("PATCH", path, {"notes": "dim"}).json()["notes"] == "dim"
    assert owner.api("POST", f"{path}/cancel").json()["state"] == "cancelled"
    assert owner.api("POST", f"{path}/cancel").status_code == 409
    assert owner.api("POST", f"{path}/retry").json()["state"] == "queued"
    clone = owner.api("POST", f"{path}/clone", {"parameters": {"voltage_kv": 200}}).json()
    assert (clone["cloned_from_id"], clone["seed"], clone["parameters"]["voltage_kv"]) == (job["id"], 7, 200)
    assert clone["inputs"] == job["inputs"]
    assert owner.api("GET", f"{path}/log").json() == {"text": ""}
    events = owner.api("GET", f"{path}/events").json()
    assert [event["content"]["state"] for event in events] == ["queued", "cancelled", "queued"]
    assert owner.api("GET", f"{path}/events?after={events[1]['id']}").json() == events[2:]
    listed = owner.api("GET", f"/jobs?project_id={project.pk}&state=queued").json()["items"]
    assert [one["id"] for one in listed] == [clone["id"], job["id"]]
    assert owner.api("GET", "/jobs?state=done").json()["items"] == []


def test_a_run_from_start_to_retry(owner: Any, project: Project) -> None:
    body = {
        "workflow": "spa",
        "parameters": {**OPTICS, "particle_diameter_angstrom": 125},
        "inputs": {"micrographs": f"dataset:{make_dataset(owner).pk}"},
    }
    run = owner.api("POST", f"/projects/{project.pk}/runs", body).json()
    assert [job["job_type"] for job in run["jobs"]] == ["import_micrographs"]
    path = f"/runs/{run['id']}"
    assert owner.api("POST", f"{path}/retry").status_code == 409
    assert owner.api("POST", f"{path}/cancel").json()["state"] == "cancelled"
    again = owner.api("POST", f"{path}/retry").json()
    assert (again["state"], again["jobs"][0]["state"]) == ("running", "queued")
    assert [one["id"] for one in owner.api("GET", "/runs?state=running").json()["items"]] == [run["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"job_type": "nothing"},
        {**IMPORT, "inputs": {"input": "dataset:x/../y"}},
        {**IMPORT, "inputs": {"input": "job:\0"}},
        {**IMPORT, "parameters": {"pixel_size_angstrom": "NaN"}},
        {**IMPORT, "seed": 2**40},
        {**IMPORT, "parameters": []},
    ],
)
def test_what_cannot_be_used_is_a_plain_refusal(owner: Any, project: Project, body: Any) -> None:
    answer = owner.api("POST", f"/projects/{project.pk}/jobs", body)
    assert answer.status_code in (404, 422) and answer.json()["error"]
    assert not Job.unscoped.exists()


def test_preflight_and_usage(owner: Any, project: Project) -> None:
    found = owner.api("POST", f"/projects/{project.pk}/preflight", {"workflow": "spa"}).json()
    assert {"field": "micrographs", "level": "error", "text": "Choose an input."} in found
    usage = owner.api("GET", f"/organizations/{owner.organization.pk}/usage/attempts")
    assert usage.json() == {"items": [], "next": ""}


def test_nothing_left_is_said_with_the_way_to_go_on(owner: Any, project: Project) -> None:
    Organization.objects.filter(pk=owner.organization.pk).update(state=Organization.State.TRIAL_ENDED)
    body = {**IMPORT, "inputs": {"input": f"dataset:{make_dataset(owner).pk}"}}
    answer = owner.api("POST", f"/projects/{project.pk}/jobs", body)
    assert answer.status_code == 409 and "write to whoever runs this installation" in answer.json()["error"]


def test_strangers_and_viewers(
    owner: Any, stranger: Any, project: Project, make_member: Callable[..., Any]
) -> None:
    job = ordered(owner, project)
    run = Run.unscoped.create(
        organization=owner.organization, project=project, number=1, workflow="spa", parameters={}, inputs={},
        created_by_id=owner.user.pk,
    )  # fmt: skip
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    changes = [
        ("POST", f"/jobs/{job['id']}/cancel", None),
        ("POST", f"/jobs/{job['id']}/retry", None),
        ("POST", f"/jobs/{job['id']}/clone", {}),
        ("PATCH", f"/jobs/{job['id']}", {"notes": "x"}),
        ("POST", f"/runs/{run.pk}/cancel", None),
        ("POST", f"/runs/{run.pk}/retry", None),
        ("POST", f"/projects/{project.pk}/jobs", IMPORT),
    ]
    reads = [("GET", f"/jobs/{job['id']}{more}", None) for more in ("", "/log", "/events")]
    reads += [
        ("GET", f"/runs/{run.pk}", None),
        ("GET", f"/organizations/{owner.organization.pk}/usage/attempts", None),
    ]
    missing = stranger.api("GET", "/jobs/missing")
    for method, path, body in changes + reads:
        answer = stranger.api(method, path, body)
        assert (answer.status_code, answer.content) == (404, missing.content), path
    assert [viewer.api(*change).status_code for change in changes] == [403] * len(changes)
    assert [viewer.api(*read).status_code for read in reads] == [200] * len(reads)
    assert stranger.api("GET", "/jobs").json()["items"] == []
