"""Where nothing is left to compute with, jobs pause at a checkpoint and go on by themselves, with the same result."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cryocloud.compute.attempt import Attempt as Directory
from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.notices.models import Notice
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.projects.services import cap_project
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.services import cancel_job, cancel_run, create_job, start_run
from cryocloud.web.scheduling.scheduler import Scheduler
from cryocloud.web.scheduling.tasks import warn_of_compute
from platform_orders import make_dataset, make_project

pytestmark = pytest.mark.usefixtures("counting", "quick_budgets")
Turn = Callable[..., None]
TRIAL_S = 20 * 3600


@pytest.fixture
def quick_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryocloud.web.scheduling.scheduler.BUDGET_EVERY_S", 0.0)
    monkeypatch.setattr("cryocloud.web.scheduling.scheduler.FOLLOW_EVERY_S", 0.2)


def count(member: Any, project: Project, **parameters: Any) -> Job:
    given = {"steps": 30, "step_s": 0.2} | parameters
    return create_job(actor=member.actor, project=project, job_type="counting", parameters=given, inputs={})


def use(organization: Organization, billed_s: int, **changes: Any) -> None:
    values = {"attempt_id": new_id(), "job_type": "ctf", "ended": "succeeded"} | changes
    UsageRecord.unscoped.create(
        organization=organization, billed_s=billed_s, wall_s=1.0, cpu_s=1.0, peak_memory_bytes=1,
        started_at=now(), finished_at=now(), **values,
    )  # fmt: skip


def state_of(thing: Job | Run) -> str:
    thing.refresh_from_db()
    return thing.state


def billed_s(job: Job) -> int:
    rows = UsageRecord.unscoped.filter(job_id=job.pk)
    return sum(rows.values_list("billed_s", flat=True))


def result(job: Job, name: str) -> str:
    won = job.attempts.get(state="succeeded")
    return (result_folder(job.pk, won.pk) / name).read_text()


def log_of(job: Job) -> str:
    return (attempt_folder(job.attempts.order_by("-number")[0].pk) / "out/log.txt").read_text()


@pytest.mark.requirement("TRL-07")
def test_a_job_that_uses_the_last_seconds_pauses_and_ends_like_one_that_was_never_stopped(
    owner: Any, stranger: Any, project: Project, turn_until: Turn, scheduler: Scheduler
) -> None:
    lab = owner.organization
    undisturbed = count(stranger, make_project(stranger))
    turn_until(lambda: state_of(undisturbed) == "done")
    use(lab, TRIAL_S - 3)
    job = count(owner, project)
    turn_until(lambda: state_of(job) == "paused")
    assert job.paused_for == "quota" and not Reservation.unscoped.exists()
    assert "20 hours of compute of the trial are used up" in job.message and "by itself" in job.message
    first = UsageRecord.unscoped.get(job_id=job.pk)
    assert first.billed_s == 3 and (first.cause, first.is_fault) == ("quota", False)
    page = owner.client.get(f"/jobs/{job.pk}/").content.decode()
    assert "used up" in page and 'data-state="paused"' in page
    assert owner.api("GET", f"/jobs/{job.pk}").json()["paused_for"] == "quota"
    for _ in range(3):
        scheduler.turn()
    assert state_of(job) == "paused" and job.attempts.count() == 1
    Organization.objects.filter(pk=lab.pk).update(compute_hours_max=21)
    turn_until(lambda: state_of(job) == "done")
    assert result(job, "sum.txt") == result(undisturbed, "sum.txt")
    assert "going on from step" in result(job, "log.txt")
    earlier, later = UsageRecord.unscoped.filter(job_id=job.pk).order_by("from_s")
    assert earlier.until_s <= later.from_s, "no second is measured twice"
    assert later.billed_s == int(later.wall_s)
    assert Notice.unscoped.filter(occasion__subject_id=job.pk, occasion__kind="needs_you").exists()


@pytest.mark.requirement("BIL-09")
def test_a_cap_pauses_its_project_alone_and_is_never_exceeded(
    owner: Any, project: Project, turn_until: Turn, scheduler: Scheduler
) -> None:
    cap_project(actor=owner.actor, project=project, compute_cap_s=2)
    capped, waiting = count(owner, project), count(owner, project, steps=2)
    other = count(owner, make_project(owner), steps=3)
    turn_until(lambda: state_of(capped) == "paused" and state_of(waiting) == "paused")
    turn_until(lambda: state_of(other) == "done")
    assert (capped.paused_for, billed_s(capped) + billed_s(waiting)) == ("cap", 2)
    assert (
        "0.0006 hours of compute of the project “Apoferritin” is reached; an admin can raise it"
        in capped.message
    )
    scheduler.turn()
    assert state_of(capped) == "paused"
    cap_project(actor=owner.actor, project=project, compute_cap_s=3600)
    turn_until(lambda: state_of(capped) == "done" and state_of(waiting) == "done")
    assert capped.metrics["sum"] == 30


def test_a_run_pauses_with_its_job_and_goes_on_when_its_cap_is_raised(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    file = make_dataset(owner, {"a.txt": b"1"}).files.get()
    run = start_run(
        actor=owner.actor, project=project, workflow="tally", parameters={},
        inputs={"input": f"file:{file.pk}"}, compute_cap_s=0,
    )  # fmt: skip
    turn_until(lambda: state_of(run) == "paused")
    assert f"run {run.number} is reached; an editor can raise it" in run.message
    assert "starts by itself" in run.message and not Attempt.unscoped.exists()
    page = owner.client.get(f"/runs/{run.pk}/").content.decode()
    assert "is reached" in page and "Change cap" in page
    assert owner.api("GET", f"/runs/{run.pk}").json()["state"] == "paused"
    answer = owner.api("PATCH", f"/runs/{run.pk}", {"compute_cap_s": 7200})
    assert answer.json()["compute_cap_s"] == 7200
    turn_until(lambda: state_of(run) in ("done", "waiting"))
    assert run.message == "" or run.state == "waiting"


def test_paused_jobs_and_runs_can_be_cancelled(owner: Any, project: Project, turn_until: Turn) -> None:
    cap_project(actor=owner.actor, project=project, compute_cap_s=0)
    file = make_dataset(owner, {"a.txt": b"1"}).files.get()
    run = start_run(
        actor=owner.actor,
        project=project,
        workflow="tally",
        parameters={},
        inputs={"input": f"file:{file.pk}"},
    )
    job = count(owner, project)
    turn_until(lambda: state_of(job) == "paused" and state_of(run) == "paused")
    cancel_job(actor=owner.actor, job=job)
    cancel_run(actor=owner.actor, run=run)
    assert (job.state, job.paused_for, run.state) == ("cancelled", "", "cancelled")
    assert run.jobs.get().state == "cancelled"


def test_a_job_that_does_not_stop_is_killed_after_its_grace_and_that_is_not_billed(
    owner: Any, project: Project, turn_until: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cryocloud.web.scheduling.scheduler.PAUSE_GRACE_S", 2.0)
    use(owner.organization, TRIAL_S - 2)
    job = count(owner, project, mishap="sleep", mishap_step=3)
    turn_until(lambda: state_of(job) == "paused")
    record = UsageRecord.unscoped.get(job_id=job.pk)
    assert record.billed_s == 2 and record.wall_s >= 4
    Organization.objects.filter(pk=owner.organization.pk).update(compute_hours_max=21)
    turn_until(lambda: state_of(job) == "done")
    assert "going on from step 3" in result(job, "log.txt")


def test_a_job_gets_two_minutes_to_write_its_checkpoint(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    use(owner.organization, TRIAL_S - 1)
    job = count(owner, project, mishap="sleep", mishap_step=2)
    turn_until(lambda: job.attempts.filter(stopped_for="quota").exists())
    folder = Directory(attempt_folder(job.attempts.get().pk))
    turn_until(folder.cancel_requested)
    assert folder.cancel_grace_s(20.0) == 120.0


def test_the_end_of_the_trial_pauses_what_is_at_work_and_a_plan_lets_it_go_on(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    lab = Organization.objects.filter(pk=owner.organization.pk)
    job = count(owner, project)
    turn_until(lambda: Attempt.unscoped.filter(state="running", wall_s__gt=0.5).exists())
    lab.update(state_until=now())
    turn_until(lambda: state_of(job) == "paused")
    assert "its trial has ended" in job.message
    lab.update(state="active", state_until=None)
    turn_until(lambda: state_of(job) == "done")
    assert job.metrics["sum"] == 30


def test_a_job_without_checkpoints_is_told_to_begin_anew(
    owner: Any, project: Project, turn_until: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryocloud.catalog import load_job_type

    object.__setattr__(load_job_type("counting"), "keeps_checkpoints", False)
    try:
        use(owner.organization, TRIAL_S - 1)
        job = count(owner, project)
        turn_until(lambda: state_of(job) == "paused")
        assert "keeps no checkpoint" in job.message and "counts again" in job.message
    finally:
        object.__setattr__(load_job_type("counting"), "keeps_checkpoints", True)


@pytest.mark.requirement("BIL-13")
def test_a_clock_that_is_set_changes_no_second(
    owner: Any, project: Project, turn_until: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = count(owner, project, steps=10)
    turn_until(lambda: Attempt.unscoped.filter(state="running").exists())
    began_at = now()
    for hours in (-5, 7):
        monkeypatch.setattr(
            "cryocloud.web.scheduling.records.now", lambda hours=hours: began_at + timedelta(hours=hours)
        )
        monkeypatch.setattr(
            "cryocloud.web.scheduling.following.now", lambda hours=hours: began_at + timedelta(hours=hours)
        )
        turn_until(lambda: Attempt.unscoped.filter(wall_s__gt=1.0).exists())
    turn_until(lambda: state_of(job) == "done")
    end = json.loads((attempt_folder(job.attempts.get().pk) / "exit.json").read_text())
    record = UsageRecord.unscoped.get()
    assert record.wall_s == end["until_s"] - end["from_s"] and record.billed_s == int(record.wall_s)
    assert 2 <= record.wall_s < 60


def test_owners_are_told_at_80_and_95_percent_once_a_span(
    owner: Any, make_member: Callable[..., Any], django_capture_on_commit_callbacks: Any
) -> None:
    lab = owner.organization
    make_member(lab, role=Role.ADMIN, name="ben")
    told = Notice.unscoped.filter(occasion__kind="letter")
    for used_s, titles in ((TRIAL_S * 8 // 10 - 1, []), (1, ["80"]), (TRIAL_S * 15 // 100, ["80", "95"])):
        use(lab, used_s)
        for _ in range(2):
            warn_of_compute()
        assert [notice.occasion.title[:2] for notice in told.order_by("created_at")] == titles
    assert set(told.values_list("user_id", flat=True)) == {owner.user.pk}


def test_caps_are_set_by_those_who_may_and_bad_ones_change_nothing(
    owner: Any, stranger: Any, make_member: Callable[..., Any], project: Project
) -> None:
    editor = make_member(owner.organization, role=Role.EDITOR, name="edith")
    path = f"/projects/{project.pk}/cap/"
    assert stranger.client.get(path).status_code == 404
    assert editor.client.post(path, {"compute_cap_hours": "3"}).status_code == 403
    for wrong in ("-1", "many", "1e9", "nan"):
        answer = owner.client.post(path, {"compute_cap_hours": wrong})
        assert answer.status_code == 422 and "cannot be used" in answer.content.decode()
        assert f'value="{wrong}"' in answer.content.decode()
    assert owner.client.post(path, {"compute_cap_hours": "2,5"}).status_code == 302
    project.refresh_from_db()
    assert project.compute_cap_s == 9000
    assert "cap of 2 h 30 min" in owner.client.get(f"/projects/{project.pk}/").content.decode()
    assert editor.api("PATCH", f"/projects/{project.pk}", {"compute_cap_s": 1}).status_code == 403
    assert (
        owner.api("PATCH", f"/projects/{project.pk}", {"compute_cap_s": None}).json()["compute_cap_s"] is None
    )
