"""The usage page, the API and the table say what was recorded, to members of the organization only."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest

from cryocloud.web.core.clock import now
from cryocloud.web.metering import grants
from cryocloud.web.metering.models import StorageHour
from cryocloud.web.metering.reports import storage_of, usage_of
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Run
from platform_orders import finished_job, make_project
from web.metering.conftest import claim
from web.metering.test_grants import plan


def text_of(person, path):
    answer = person.client.get(path)
    assert answer.status_code == 200, path
    return " ".join(answer.content.decode().split())


@pytest.fixture
def lab(owner):
    return owner.organization


@pytest.fixture
def project(owner):
    return make_project(owner)


def run_of(owner, project):
    return Run.unscoped.create(
        organization=owner.organization, project=project, number=4, workflow="spa", parameters={}, inputs={},
        created_by_id=owner.user.pk,
    )  # fmt: skip


@pytest.mark.requirement("BIL-10")
def test_the_page_goes_from_the_meters_down_to_each_attempt(owner, lab, project, record):
    run = run_of(owner, project)
    job = finished_job(owner, project, "ctf", (), run=run)
    made = record(lab, 3700, project_id=project.pk, run_id=run.pk, job_id=job.pk, read_bytes=1_500_000_000)
    record(lab, 100, cause="lost", exit_code=None, is_fault=True)
    grants.reserve(working := claim(lab, project_id=project.pk))
    grants.note_use(working, 42.0)
    page = text_of(owner, "/organization/usage/")
    assert "1 h 04 min used of 20 h 00 min" in page and "42 s" in page
    assert "Apoferritin" in page and "#1" in page and "the computer stopped working on it" in page
    for shown in (made.attempt_id, "1.5 GB", "3,700 s", "because the platform is to blame"):
        assert shown in page
    assert "The trial ends on" in page and "80 and at 95 %" in page
    narrow = text_of(owner, f"/organization/usage/?project={project.pk}")
    assert "Run 4" in narrow and "the computer stopped" not in narrow
    assert made.attempt_id in text_of(owner, f"/organization/usage/?project={project.pk}&run={run.pk}")
    assert "No attempt has ended" in text_of(owner, "/organization/usage/?project=nothing")


def test_a_deleted_project_keeps_its_line_and_loses_its_name(owner, lab, project, record):
    record(lab, 60, project_id=project.pk)
    Project.unscoped.filter(pk=project.pk).update(deletion_id="gone")
    page = text_of(owner, "/organization/usage/")
    assert f"deleted project {project.pk}" in page and "Apoferritin" not in page


def test_an_attempt_counts_in_the_month_in_which_it_ends(owner, lab, project, record):
    begin = now() - timedelta(days=1)
    plan(lab, from_at=begin, compute_cents_an_hour=70, spending_limit_cents=5000, compute_s=3600)
    record(lab, 11, at=begin - timedelta(microseconds=1))
    record(lab, 3600 + 7200, at=begin, project_id=project.pk)
    found = usage_of(lab.pk, begin, begin + timedelta(days=30))
    assert (found.billed_s, found.by_project) == (10_800, {project.pk: 10_800})
    assert usage_of(lab.pk, begin - timedelta(days=30), begin).billed_s == 11
    page = text_of(owner, "/organization/usage/")
    assert "Beyond the plan so far: <strong>1.40 EUR</strong> of at most 50.00 EUR" in page
    summary = owner.api("GET", f"/organizations/{lab.pk}/usage").json()
    assert (summary["compute_used_s"], summary["overage_cents"]) == (10_800, 140)
    assert summary["compute_limit_s"] == 3600 + 5000 * 3600 // 70


@pytest.mark.requirement("BIL-10")
def test_a_table_holds_everything_and_nothing_that_a_spreadsheet_would_carry_out(owner, lab, record):
    evil = "=HYPERLINK(0)"
    project = make_project(owner)
    Project.unscoped.filter(pk=project.pk).update(name=evil)
    made = record(lab, 60, project_id=project.pk, gpu_class="@SUM(A1)", gpus=1)
    for answer in (
        owner.client.get("/organization/usage/attempts.csv"),
        owner.api("GET", f"/organizations/{lab.pk}/usage/attempts.csv"),
    ):
        assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]
        (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
        assert (row["attempt_id"], row["billed_s"], row["cause"]) == (made.attempt_id, "60", "done")
        assert row["project"] == "'" + evil and row["gpu_class"] == "'@SUM(A1)"
        assert row["finished_at"] == made.finished_at.isoformat()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_each_beginning_of_a_formula_is_made_inert(start):
    from cryocloud.web.core.tables import write_table

    (_, (cell,)) = csv.reader(io.StringIO(write_table(["a"], [[f"{start}1+1"]]), newline=""))
    assert cell == f"'{start}1+1"


def test_viewers_look_and_strangers_see_nothing(owner, stranger, make_member, lab, record):
    made = record(lab, 60)
    viewer = make_member(lab, role=Role.VIEWER, name="vera")
    assert made.attempt_id in text_of(viewer, "/organization/usage/")
    assert made.attempt_id not in text_of(stranger, "/organization/usage/")
    assert made.attempt_id not in stranger.client.get("/organization/usage/attempts.csv").content.decode()
    for path in ("usage", "usage/attempts", "usage/attempts.csv"):
        assert stranger.api("GET", f"/organizations/{lab.pk}/{path}").status_code == 404
        assert viewer.api("GET", f"/organizations/{lab.pk}/{path}").status_code == 200


def test_attempts_are_found_by_time_and_project_through_the_api(owner, lab, project, record):
    moment = now() - timedelta(hours=2)
    early, late = (
        record(lab, 1, at=moment - timedelta(hours=1)),
        record(lab, 2, at=moment, project_id=project.pk),
    )
    path = f"/organizations/{lab.pk}/usage/attempts"
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    since = owner.api("GET", f"{path}?from_at={stamp}").json()["items"]
    before = owner.api("GET", f"{path}?until_at={stamp}").json()["items"]
    assert [one["attempt_id"] for one in since] == [late.attempt_id]
    assert [one["attempt_id"] for one in before] == [early.attempt_id]
    own = owner.api("GET", f"{path}?project_id={project.pk}").json()["items"]
    assert [one["attempt_id"] for one in own] == [late.attempt_id]
    assert owner.api("GET", f"{path}?from_at=yesterday").status_code == 422
    assert owner.api("GET", f"{path}?from_at=2026-01-01T00:00:00").status_code == 422


def test_byte_hours_are_sums_over_full_hours_of_a_half_open_span(lab):
    hour = now().replace(minute=0, second=0, microsecond=0)
    for number, size_bytes in enumerate((10, 20, 40)):
        StorageHour.unscoped.create(
            organization=lab, hour=hour + timedelta(hours=number), size_bytes=size_bytes
        )
    found = storage_of(lab.pk, hour, hour + timedelta(hours=2))
    assert (found.byte_hours, found.hours) == (30, 2)
    assert storage_of(lab.pk, hour + timedelta(seconds=1), hour + timedelta(hours=9)).byte_hours == 60


def test_a_deleted_job_is_not_linked(owner, lab, record, project):
    record(lab, 5, project_id=project.pk, job_id="missing")
    page = text_of(owner, "/organization/usage/")
    assert "deleted" in page and "/jobs/missing/" not in page
