"""The life of a job: started, followed, ended once, published, begun again, with real runner processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cryocloud.catalog.forecasting import REVISION
from cryocloud.compute.attempt import Attempt as Directory
from cryocloud.compute.attempt import boot_id
from cryocloud.web.configuration import configuration
from cryocloud.web.core.models import Event, Lease
from cryocloud.web.core.places import attempt_folder, result_folder
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.metering.services import remaining_compute_s
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import cancel_job, create_job, pause_dispatch, resume_dispatch, retry_job
from cryocloud.web.scheduling.scheduler import Scheduler
from platform_orders import make_dataset, make_project

pytestmark = pytest.mark.usefixtures("counting")
Turn = Callable[..., None]


def count(member: Any, project: Project, **parameters: Any) -> Job:
    return create_job(
        actor=member.actor,
        project=project,
        job_type="counting",
        parameters={"steps": 3} | parameters,
        inputs={},
    )


def ended(job: Job) -> Callable[[], bool]:
    def look() -> bool:
        job.refresh_from_db()
        return job.state in Job.ENDED

    return look


def runner_at_work(job: Job) -> Callable[[], bool]:
    def look() -> bool:
        attempt = job.attempts.filter(state__in=Attempt.OPEN).order_by("-number").first()
        return attempt is not None and Directory(attempt_folder(attempt.pk)).events_file.exists()

    return look


def directory(job: Job) -> Directory:
    return Directory(attempt_folder(job.attempts.order_by("-number")[0].pk))


def test_a_job_ends_with_numbers_files_checksums_and_one_usage_record(
    owner: Any, project: Project, turn_until: Turn, home: Path
) -> None:
    job = count(owner, project, limit=2.5, step_s=0.4)
    turn_until(ended(job))
    attempt, usage = Attempt.unscoped.get(), UsageRecord.unscoped.get()
    assert (job.state, job.progress, job.metrics["sum"]) == ("done", 1.0, 2.5)
    assert job.decisions == [{"what": "limit", "value": 2.5, "why": "asked for"}]
    folder = result_folder(job.pk, attempt.pk)
    artifact = Artifact.unscoped.get(path="sum.txt")
    assert hashlib.sha256((folder / "sum.txt").read_bytes()).hexdigest() == artifact.sha256
    assert not os.access(folder / "sum.txt", os.W_OK) or os.geteuid() == 0
    assert {row.path for row in Artifact.unscoped.all()} >= {"job.json", "metrics.json", "log.txt"}
    exit_record = json.loads((attempt_folder(attempt.pk) / "exit.json").read_text())
    assert (usage.attempt_id, usage.wall_s, usage.ended) == (attempt.pk, exit_record["wall_s"], "succeeded")
    assert usage.billed_s == usage.wall_s // 1 and usage.cpu_s > 0 and usage.peak_memory_bytes > 0
    assert usage.until_s - usage.from_s == usage.wall_s and usage.boot_id == boot_id() and usage.slots == 1
    assert usage.read_bytes > 0 and usage.written_bytes > 0
    assert (usage.exit_code, usage.cause, usage.is_fault) == (0, "done", False)
    assert (usage.project_id, usage.run_id, usage.job_id) == (project.pk, "", job.pk)
    assert not Reservation.unscoped.exists()
    states = [event.content["state"] for event in Event.objects.filter(topic=f"job:{job.pk}").order_by("id")]
    assert states[0] == "queued" and states[-1] == "done" and "running" in states


@pytest.mark.parametrize(
    ("mishap", "expected"),
    [
        ("bad_input", ("failed", "pixel size 0", "bad_input")),
        ("bug", ("failed", "a fault of the program stopped this job, not your data; retry the job", "fault")),
        ("segfault", ("failed", "a fault of the program stopped this job", "fault")),
        ("killed", ("failed", "memory ran out", "memory")),
        ("bad_items", ("exceptions", "", "done")),
    ],
)
def test_each_way_to_end_has_its_state_message_and_bill(
    owner: Any, project: Project, turn_until: Turn, home: Path, mishap: str, expected: tuple[str, str, str]
) -> None:  # fmt: skip
    state, words, cause = expected
    job = count(owner, project, mishap=mishap, mishap_step=1, step_s=1.0)
    turn_until(ended(job))
    assert (job.state, words in job.message) == (state, True), job.message
    assert str(home) not in job.message and "--" not in job.message and "command" not in job.message
    usage = UsageRecord.unscoped.get()
    assert (usage.cause, usage.is_fault) == (cause, cause in ("fault", "memory"))
    assert (usage.billed_s > 0) != usage.is_fault and usage.wall_s >= 1
    assert job.exceptions == (2 if mishap == "bad_items" else 0)


@pytest.mark.requirement("BIL-01")
def test_a_killed_runner_is_lost_unbilled_and_goes_on_from_the_checkpoint(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    job = count(owner, project, steps=6, step_s=0.2, mishap="sleep", mishap_step=3, verbose=True)
    turn_until(
        lambda: runner_at_work(job)() and "step 2" in (directory(job).folder / "out/log.txt").read_text()
    )
    body = directory(job).body()
    runner = directory(job).runner()
    assert body and runner
    os.kill(runner.pid, signal.SIGKILL)
    turn_until(ended(job))
    lost, won = job.attempts.order_by("number")
    assert (lost.state, won.state, job.state, job.metrics["sum"]) == ("lost", "succeeded", "done", 6)
    assert not body.is_alive()
    usage = {record.attempt_id: record for record in UsageRecord.unscoped.all()}
    assert (usage[lost.pk].billed_s, usage[lost.pk].is_fault) == (0, True)
    assert usage[won.pk].billed_s == int(usage[won.pk].wall_s)
    assert "going on from step 3" in (result_folder(job.pk, won.pk) / "log.txt").read_text()
    record = json.loads((result_folder(job.pk, won.pk) / "job.json").read_text())
    assert record["wall_s"] > won.wall_s


def test_a_job_that_is_lost_again_and_again_fails_in_the_end(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    job = count(owner, project, steps=2, mishap="sleep", mishap_step=0)
    for number in range(1, 5):
        turn_until(lambda number=number: job.attempts.count() == number and runner_at_work(job)())
        runner = directory(job).runner()
        assert runner
        os.kill(runner.pid, signal.SIGKILL)
    turn_until(ended(job))
    assert (job.state, job.attempts.count()) == ("failed", 4) and "4 times" in job.message
    assert UsageRecord.unscoped.filter(billed_s=0).count() == 4


def test_a_running_job_is_cancelled_and_retried_from_its_checkpoint(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    job = count(owner, project, steps=20, step_s=0.15, verbose=True)
    turn_until(
        lambda: runner_at_work(job)() and "step 4" in (directory(job).folder / "out/log.txt").read_text()
    )
    cancel_job(actor=owner.actor, job=job)
    turn_until(ended(job))
    assert (job.state, job.attempts.get().state) == ("cancelled", "cancelled")
    assert UsageRecord.unscoped.get().billed_s > 0
    retry_job(actor=owner.actor, job=job)
    turn_until(ended(job))
    assert (job.state, job.metrics["sum"], job.attempts.count()) == ("done", 20, 2)
    won = job.attempts.get(state="succeeded")
    assert "going on from step" in (result_folder(job.pk, won.pk) / "log.txt").read_text()


def test_a_runner_that_ended_is_not_undone_by_a_late_cancel(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    job = count(owner, project, steps=1)
    turn_until(lambda: job.attempts.exists() and directory(job).exit_file.exists())
    if not ended(job)():
        cancel_job(actor=owner.actor, job=job)
    turn_until(ended(job))
    assert job.state == "done"


def test_a_scheduler_that_lost_its_lease_changes_nothing(
    owner: Any, project: Project, scheduler: Scheduler, turn_until: Turn
) -> None:
    job = count(owner, project, steps=1)
    turn_until(lambda: job.attempts.exists() and directory(job).exit_file.exists())
    Lease.objects.filter(name="scheduler").update(owner="another", fence=99)
    for _ in range(20):
        scheduler.turn()
    job.refresh_from_db()
    assert job.state == "running" and not UsageRecord.unscoped.exists() and not Artifact.unscoped.exists()
    Lease.objects.all().delete()
    turn_until(ended(job), by=Scheduler(timedelta(seconds=60)))
    assert job.state == "done" and UsageRecord.unscoped.count() == 1


def test_a_result_that_was_moved_before_a_crash_is_published_once(
    owner: Any, project: Project, scheduler: Scheduler, turn_until: Turn
) -> None:
    job = count(owner, project, steps=1)
    turn_until(lambda: job.attempts.exists() and directory(job).exit_file.exists())
    attempt = job.attempts.get()
    place = result_folder(job.pk, attempt.pk)
    if not place.exists():
        place.parent.mkdir(parents=True)
        (attempt_folder(attempt.pk) / "out").rename(place)
    turn_until(ended(job), by=Scheduler(timedelta(seconds=60)) if not scheduler.leadership else scheduler)
    assert job.state == "done" and Artifact.unscoped.filter(path="sum.txt").count() == 1


def test_the_runner_sees_neither_settings_nor_secrets(
    owner: Any, project: Project, turn_until: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYOCLOUD_SECRET_KEY", "do not pass on")
    monkeypatch.setenv("DATABASE_URL", "postgres://")
    job = count(owner, project, steps=4, step_s=0.5)
    turn_until(lambda: runner_at_work(job)() and directory(job).body() is not None)
    for process in (directory(job).runner(), directory(job).body()):
        assert process
        environment = Path(f"/proc/{process.pid}/environ").read_text()
        assert (
            "CRYOCLOUD" not in environment and "DATABASE" not in environment and "DJANGO" not in environment
        )
    assert directory(job).folder.stat().st_mode & 0o777 == 0o700
    turn_until(ended(job))


def test_a_small_organization_does_not_wait_behind_a_big_one(
    owner: Any, stranger: Any, turn_until: Turn
) -> None:
    big, small = make_project(owner), make_project(stranger)
    jobs = [count(owner, big, steps=1) for _ in range(4)] + [
        count(stranger, small, steps=1) for _ in range(2)
    ]
    turn_until(lambda: all(ended(job)() for job in jobs), timeout_s=200)
    order = list(Attempt.unscoped.order_by("created_at").values_list("organization_id", flat=True))
    assert sorted(order.index(one) for one in {small.organization_id, big.organization_id}) == [0, 1]
    theirs = [place for place, one in enumerate(order) if one == small.organization_id]
    assert theirs[-1] <= 4, order


def test_nothing_starts_while_dispatch_is_paused(
    owner: Any, project: Project, scheduler: Scheduler, turn_until: Turn
) -> None:
    pause_dispatch()
    job = count(owner, project, steps=1)
    assert scheduler._leads()
    for _ in range(3):
        scheduler.turn()
    assert not Attempt.unscoped.exists()
    resume_dispatch()
    turn_until(ended(job))
    assert job.state == "done"


def test_compute_that_is_used_up_stops_a_job_which_goes_on_after_more_was_given(
    owner: Any, project: Project, scheduler: Scheduler, turn_until: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("cryocloud.web.scheduling.scheduler.BUDGET_EVERY_S", 0.0)
    job = count(owner, project, steps=30, step_s=0.2)
    turn_until(runner_at_work(job))
    settings = configuration()
    none_left = settings.model_copy(update={"trial_compute_hours": 0})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: none_left)
    turn_until(lambda: Attempt.unscoped.get().state == "cancelled")
    job.refresh_from_db()
    assert (job.state, job.paused_for) == ("paused", "quota")
    assert "hours of compute of the trial are used up" in job.message and "by itself" in job.message
    usage = UsageRecord.unscoped.get()
    assert usage.billed_s <= usage.wall_s + 1
    for _ in range(3):
        scheduler.turn()
    assert Attempt.unscoped.count() == 1
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: settings)
    turn_until(ended(job))
    assert (job.state, job.metrics["sum"]) == ("done", 30)
    assert remaining_compute_s(owner.organization) == settings.trial_compute_hours * 3600 - sum(
        UsageRecord.unscoped.values_list("billed_s", flat=True)
    )


def test_an_input_that_is_gone_fails_the_job_with_a_remedy(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    dataset = make_dataset(owner, {"a.txt": b"1"})
    file = dataset.files.get()
    job = create_job(
        actor=owner.actor, project=project, job_type="counting", parameters={"steps": 1},
        inputs={"input": f"file:{file.pk}"},
    )  # fmt: skip
    file.dataset.trashed_at = job.created_at
    file.dataset.save()
    turn_until(ended(job))
    assert job.state == "failed" and "choose another" in job.message


def test_the_record_of_a_whole_job_holds_what_was_foreseen(
    owner: Any, project: Project, turn_until: Turn
) -> None:
    whole, resumed = count(owner, project), count(owner, project)
    Attempt.unscoped.create(organization=owner.organization, job=resumed, number=1, fence=0, state="lost")
    turn_until(ended(whole))
    turn_until(ended(resumed))
    usage = UsageRecord.unscoped.get(attempt_id=whole.attempts.get().pk)
    assert (usage.counted_revision, usage.counted_memory_bytes) == (REVISION, 1e6)
    assert usage.counted_cpu_s == pytest.approx(0.3)
    again = UsageRecord.unscoped.get(attempt_id=resumed.attempts.get(number=2).pk)
    assert (again.counted_revision, again.counted_cpu_s) == (0, 0.0)
