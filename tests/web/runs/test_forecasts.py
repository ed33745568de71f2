"""What an order takes is said before it starts, learnt from what jobs took, and compared afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cryocloud.catalog.forecasting import REVISION
from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import Room
from cryocloud.web.data.models import Dataset
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.scheduling.memory import memory_limit_bytes
from platform_orders import OPTICS, finished_job, make_dataset

HEADER = {"content": "image", "width_px": 1000, "height_px": 1200, "sections": 1, "pixel_size_angstrom": 1.5}
GIVEN = {**OPTICS, "particle_diameter_angstrom": 125.0}
ROOMY = Room(10**13, 10**13, 0, 0)


@pytest.fixture
def dataset(owner: Any) -> Dataset:
    made = make_dataset(owner, {f"m{number}.mrc": b"" for number in range(30)})
    made.files.update(header=HEADER, state="read")
    return made


@pytest.fixture
def particles(owner: Any, project: Project) -> Job:
    metrics = {"particles": 900, "box_size_px": 64, "pixel_size_angstrom": 3.0}
    return finished_job(owner, project, "extract", ("particles.star",), metrics=metrics)


def records(member: Any, job_type: str, *, ratio: float, count: int, **changes: Any) -> None:
    """Jobs that took ``ratio`` times what had been counted."""
    for number in range(count):
        values: dict[str, Any] = {
            "attempt_id": f"{member.user.pk}-{job_type}-{ratio}-{number}",
            "cpu_s": 100 * ratio, "wall_s": 100 * ratio, "peak_memory_bytes": int(1e9), "ended": "succeeded",
            "counted_cpu_s": 100, "counted_wall_s": 100, "counted_memory_bytes": 1e9, "counted_revision": REVISION,
            "billed_s": 1,
        }  # fmt: skip
        UsageRecord.unscoped.create(
            organization=member.organization, job_type=job_type, started_at=now(),
            finished_at=now() - timedelta(minutes=number), **values | changes,
        )  # fmt: skip


def order_of(job: Job) -> dict[str, Any]:
    return {
        "job_type": "class2d",
        "parameters": {"classes": 10},
        "inputs": {"input": f"job:{job.pk}/particles.star"},
    }


def forecast(member: Any, project: Project, order: dict[str, Any]) -> Any:
    answer = member.api("POST", f"/projects/{project.pk}/forecast", order)
    assert answer.status_code == 200, answer.content
    return answer.json()


def check_page(member: Any, project: Project, entry: str, **sent: Any) -> str:
    answer = member.client.post(f"/projects/{project.pk}/{entry}/check/", {"seed": "0", **sent})
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def spa_form(dataset: Dataset, **changes: Any) -> dict[str, Any]:
    values = {f"parameter-{name}": str(value) for name, value in {**GIVEN, **changes}.items()}
    return {"input-micrographs": f"dataset:{dataset.pk}", "parameter-symmetry": "C1", **values}


def test_the_order_page_shows_the_range_of_a_whole_workflow(
    owner: Any, project: Project, dataset: Dataset
) -> None:
    page = check_page(owner, project, "workflows/spa", **spa_form(dataset))
    for label in ("Time", "Compute", "Memory", "Disk"):
        assert f"<dt>{label}</dt>" in page
    assert "for 30 items" in page and "13 likely steps" in page and "3D refinement" in page
    assert page != check_page(owner, project, "workflows/spa", **spa_form(dataset, symmetry="O"))


def test_what_cannot_be_foreseen_is_not_made_up(owner: Any, project: Project) -> None:
    unread = make_dataset(owner)
    page = check_page(owner, project, "workflows/spa", **spa_form(unread))
    assert "<dt>Time</dt>" not in page
    order = {"workflow": "spa", "parameters": GIVEN, "inputs": {"micrographs": f"dataset:{unread.pk}"}}
    answer = owner.api("POST", f"/projects/{project.pk}/forecast", order)
    assert answer.status_code == 422 and "cannot be foreseen" in answer.json()["error"]


def test_a_bad_value_is_named_with_its_field(owner: Any, project: Project, particles: Job) -> None:
    order = order_of(particles) | {"parameters": {"classes": 0}}
    answer = owner.api("POST", f"/projects/{project.pk}/forecast", order)
    assert answer.status_code == 422 and "classes" in answer.json()["fields"]


def test_forecasts_learn_from_jobs_of_all_organizations(
    owner: Any, stranger: Any, project: Project, particles: Job
) -> None:
    before = forecast(owner, project, order_of(particles))
    assert before["records"] == 0 and before["wall_s"]["low"] < before["wall_s"]["likely"]
    records(stranger, "class2d", ratio=3.0, count=6)
    after = forecast(owner, project, order_of(particles))
    assert after["records"] == 6
    assert after["wall_s"]["likely"] == pytest.approx(3 * before["wall_s"]["likely"], rel=0.15)
    narrower = [each["wall_s"]["high"] / each["wall_s"]["low"] for each in (after, before)]
    assert narrower[0] < narrower[1]
    form = {"input-input": f"job:{particles.pk}/particles.star"}
    assert "Learnt from 6 such jobs" in check_page(owner, project, "jobs/class2d", **form)


@pytest.mark.parametrize(
    "changes",
    [
        {"ended": "failed"},
        {"ended": "cancelled"},
        {"ended": "lost"},
        {"counted_revision": 0},
        {"counted_revision": 99},
    ],
)
def test_only_whole_jobs_that_ended_well_count(
    owner: Any, project: Project, particles: Job, changes: dict[str, Any]
) -> None:
    records(owner, "class2d", ratio=3.0, count=6, **changes)
    assert forecast(owner, project, order_of(particles))["records"] == 0


def test_nothing_of_others_is_told(owner: Any, stranger: Any, project: Project, particles: Job) -> None:
    records(stranger, "class2d", ratio=3.0, count=6)
    answer = owner.api("POST", f"/projects/{project.pk}/forecast", order_of(particles))
    assert stranger.organization.pk not in answer.content.decode()
    assert stranger.user.pk not in answer.content.decode()
    missing = stranger.api("GET", "/projects/missing")
    refused = stranger.api("POST", f"/projects/{project.pk}/forecast", order_of(particles))
    assert (refused.status_code, refused.content) == (404, missing.content)
    theirs = Project.unscoped.create(
        organization=stranger.organization, name="Theirs", created_by_id=stranger.user.pk
    )
    spied = stranger.api("POST", f"/projects/{theirs.pk}/forecast", order_of(particles))
    assert spied.status_code == 422 and "900" not in spied.content.decode()


def test_a_viewer_may_ask(
    owner: Any, project: Project, particles: Job, make_member: Callable[..., Any]
) -> None:
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    assert forecast(viewer, project, order_of(particles))["wall_s"]["likely"] > 0


@pytest.mark.parametrize("ratio", [0.01, 9, 100])
def test_no_stranger_has_an_order_refused_or_its_job_killed(
    owner: Any, stranger: Any, project: Project, particles: Job, monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    counted = forecast(owner, project, order_of(particles))["memory_bytes"]["likely"]
    machine = "cryocloud.web.{}.machine_memory_bytes"
    monkeypatch.setattr(machine.format("scheduling.memory"), lambda: 10**12)
    records(stranger, "class2d", ratio=1.0, count=30, peak_memory_bytes=int(1e9 * ratio))
    likely = forecast(owner, project, order_of(particles))["memory_bytes"]["likely"]
    assert counted / 3 <= likely <= counted * 3
    monkeypatch.setattr(machine.format("runs.preflight"), lambda: counted)
    answer = owner.api("POST", f"/projects/{project.pk}/jobs", order_of(particles))
    assert answer.status_code == 201, answer.content
    job = Job.unscoped.get(pk=answer.json()["id"])
    assert memory_limit_bytes(job) >= int(2 * counted) + (4 << 30)
    monkeypatch.setattr(machine.format("runs.preflight"), lambda: counted / 10)
    assert owner.api("POST", f"/projects/{project.pk}/jobs", order_of(particles)).status_code == 422


@pytest.mark.parametrize("level", ["error", "warning", ""])
def test_only_what_cannot_fit_on_the_disk_is_refused(
    owner: Any, project: Project, particles: Job, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    reserved = replace(ROOMY, all_bytes=0).reserved_bytes
    found = forecast(owner, project, order_of(particles))["disk_bytes"]
    free_bytes = {"error": found["low"] / 2, "warning": found["likely"], "": 1e12}[level]
    monkeypatch.setattr(
        "cryocloud.web.runs.preflight.room", lambda: Room(0, int(free_bytes + reserved), 0, 0)
    )
    told = owner.api("POST", f"/projects/{project.pk}/preflight", order_of(particles)).json()
    assert [one["level"] for one in told if "of disk are free" in one["text"]] == ([level] if level else [])
    answer = owner.api("POST", f"/projects/{project.pk}/jobs", order_of(particles))
    assert answer.status_code == (422 if level == "error" else 201), answer.content


def test_an_order_that_may_use_up_the_compute_is_warned_of_and_started(
    owner: Any, project: Project, dataset: Dataset
) -> None:
    order = {"workflow": "spa", "parameters": GIVEN, "inputs": {"micrographs": f"dataset:{dataset.pk}"}}
    expected = forecast(owner, project, order)["wall_s"]
    Organization.objects.filter(pk=owner.organization.pk).update(state="trial")
    used_s = 0
    for left_s, words in ((expected["likely"], "May take longer"), (expected["low"] / 2, "Takes longer")):
        records(owner, "other", ratio=1.0, count=1, billed_s=20 * 3600 - round(left_s) - used_s)
        used_s = 20 * 3600 - round(left_s)
        told = owner.api("POST", f"/projects/{project.pk}/preflight", order).json()
        assert [one["level"] for one in told if one["text"].startswith(words)] == ["warning"]
    assert owner.api("POST", f"/projects/{project.pk}/runs", order).status_code == 201


def test_forecast_and_measure_stand_side_by_side_on_the_pages(
    owner: Any, project: Project, dataset: Dataset
) -> None:
    order = {"workflow": "spa", "parameters": GIVEN, "inputs": {"micrographs": f"dataset:{dataset.pk}"}}
    run = Run.unscoped.get(pk=owner.api("POST", f"/projects/{project.pk}/runs", order).json()["id"])
    job = run.jobs.get()
    assert job.forecast["counted"]["cpu_s"] > 0
    for page in (f"/runs/{run.pk}/", f"/jobs/{job.pk}/"):
        text = owner.client.get(page).content.decode()
        assert "<dt>Forecast</dt>" in text and "<dt>Took</dt>" not in text
    own = {"organization": owner.organization, "job": job, "fence": 1}
    Attempt.unscoped.create(number=1, state="lost", wall_s=30, peak_memory_bytes=2e8, **own)
    Attempt.unscoped.create(number=2, state="succeeded", wall_s=450, peak_memory_bytes=7e8, **own)
    Job.unscoped.filter(pk=job.pk).update(state="done")
    Run.unscoped.filter(pk=run.pk).update(state="done")
    for page in (f"/runs/{run.pk}/", f"/jobs/{job.pk}/"):
        text = owner.client.get(page).content.decode()
        assert "<dt>Took</dt><dd>8 min 00 s, 700 MB of memory</dd>" in text


def test_a_job_at_work_says_how_long_it_takes_yet(owner: Any, project: Project, particles: Job) -> None:
    answer = owner.api("POST", f"/projects/{project.pk}/jobs", order_of(particles)).json()
    job = Job.unscoped.get(pk=answer["id"])
    assert " left." not in owner.client.get(f"/jobs/{job.pk}/live/").content.decode()
    Job.unscoped.filter(pk=job.pk).update(state="running", progress=0.5)
    Attempt.unscoped.create(
        organization=owner.organization, job=job, number=1, fence=1, state="running",
        started_at=now() - timedelta(minutes=10),
    )  # fmt: skip
    assert " min left." in owner.client.get(f"/jobs/{job.pk}/live/").content.decode()


def test_a_map_of_a_dataset_and_a_table_of_particles_are_known_by_their_headers(
    owner: Any, project: Project
) -> None:
    files = make_dataset(owner, {"half.mrc": b"", "particles.star": b"", "stack.mrcs": b""})
    cube = {"width_px": 80, "height_px": 80, "sections": 80, "content": "volume"}
    files.files.filter(path="half.mrc").update(header=cube)
    stack = {"width_px": 80, "height_px": 80, "sections": 700, "content": "stack"}
    files.files.filter(path="stack.mrcs").update(header=stack)
    tables = {"format": "STAR", "tables": [{"name": "optics", "rows": 1}, {"name": "particles", "rows": 700}]}
    table = files.files.get(path="particles.star")
    files.files.filter(pk=table.pk).update(header=tables)
    order = {
        "job_type": "import_particles",
        "parameters": {"invert_contrast": "yes"},
        "inputs": {"input": f"file:{table.pk}"},
    }
    assert forecast(owner, project, order)["disk_bytes"]["likely"] > 4 * 700 * 80**2


@pytest.mark.parametrize("rows", [["many"], ["many", 5], [None, 5], [10**400, 5], [[5], {"rows": 5}]])
def test_rows_that_are_no_numbers_are_not_counted(owner: Any, project: Project, rows: list[Any]) -> None:
    files = make_dataset(owner, {"particles.star": b""})
    table = files.files.get()
    header = {"format": "STAR", "tables": [{"name": "particles", "rows": one} for one in rows]}
    files.files.update(header=header)
    order = {
        "job_type": "import_particles",
        "parameters": {"invert_contrast": "yes"},
        "inputs": {"input": f"file:{table.pk}"},
    }
    answer = owner.api("POST", f"/projects/{project.pk}/forecast", order)
    assert answer.status_code == 422 and "cannot be foreseen" in answer.json()["error"]


@pytest.mark.parametrize("name", ["a" * 300 + ".star", "é" * 130, "a\nb", "a\0b"])
def test_names_that_no_file_has_are_refused(owner: Any, project: Project, particles: Job, name: str) -> None:
    order = order_of(particles) | {"inputs": {"input": f"job:{particles.pk}/{name}"}}
    for operation in ("jobs", "preflight", "forecast"):
        answer = owner.api("POST", f"/projects/{project.pk}/{operation}", order)
        assert answer.status_code in (200, 422), (operation, answer.content)
        assert "names no input" in answer.content.decode()
    form = {"input-input": f"job:{particles.pk}/{name}"}
    assert "names no input" in check_page(owner, project, "jobs/class2d", **form)
