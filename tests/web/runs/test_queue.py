"""What a job in the queue says of its place, of the reason, and of when it may start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cryocloud.web import configuration as settings
from cryocloud.web.core.clock import now
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import pause_dispatch, resume_dispatch, start_run
from cryocloud.web.scheduling.dispatch import submit_next
from cryocloud.web.scheduling.scheduler import Scheduler
from platform_endings import queued_job, start_job
from platform_orders import make_dataset, make_project

pytestmark = pytest.mark.usefixtures("counting")


def configure(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    changed = settings.configuration().model_copy(update=changes)
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: changed)


def told(member: Any, job: Job) -> dict[str, Any]:
    answer: dict[str, Any] = member.api("GET", f"/jobs/{job.pk}").json()["waiting"]
    return answer


def at_work(member: Any, project: Project, *, progress: float = 0.0, wall_s: float = 0.0) -> Attempt:
    attempt = start_job(queued_job(project, member.user.pk))
    Job.unscoped.filter(pk=attempt.job_id).update(progress=progress)
    Attempt.unscoped.filter(pk=attempt.pk).update(wall_s=wall_s)
    return attempt


def test_the_place_is_that_in_which_the_scheduler_starts(
    owner: Any, stranger: Any, project: Project, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two organizations take turns, whoever came first."""
    configure(monkeypatch, slots=6)
    other = make_project(stranger)
    own = [queued_job(project, owner.user.pk) for _ in range(4)]
    their = [queued_job(other, stranger.user.pk) for _ in range(2)]
    pause_dispatch()
    assert told(owner, own[0])["place"] == 0
    resume_dispatch()
    places = {job.pk: told(owner, job)["place"] for job in own}
    places |= {job.pk: told(stranger, job)["place"] for job in their}
    assert scheduler._leads() and scheduler.leadership
    started = [submit_next(scheduler.leadership, set()) for _ in range(6)]
    assert [attempt.job_id for attempt in started if attempt] == sorted(places, key=lambda pk: places[pk])
    assert sorted(places.values()) == [1, 2, 3, 4, 5, 6]


def test_a_busy_slot_is_the_reason_and_its_pace_tells_when(
    owner: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work(owner, project, progress=0.25, wall_s=600)
    first, second = (queued_job(project, owner.user.pk) for _ in range(2))
    assert told(owner, first) == {
        "reason": "Waiting for a free slot, the only one is taken",
        "place": 1,
        "starts_in_s": 1800.0,
    }
    assert told(owner, second)["place"] == 2
    assert told(owner, second)["starts_in_s"] == pytest.approx(1800, abs=1), "the one before takes a moment"
    Job.unscoped.filter(pk=first.pk).update(forecast={})
    assert told(owner, second)["starts_in_s"] is None, "nobody knows how long the one before takes"
    page = owner.client.get(f"/jobs/{first.pk}/").content.decode()
    assert (
        "the only one is taken." in page
        and "It is the next in the queue and may start in about 30 min." in page
    )
    configure(monkeypatch, slots=2)
    assert told(owner, first)["reason"] == "It starts in a moment"


def test_a_forecast_of_what_is_before_it_counts(owner: Any, project: Project) -> None:
    """40 micrographs of which the sizes are known: the job before is forecast, and this one starts after it."""
    at_work(owner, project, progress=0.5, wall_s=100)
    files = {f"mic_{k}.mrc": b"" for k in range(40)}
    dataset = make_dataset(owner, files)
    dataset.files.update(header={"width_px": 4096, "height_px": 4096, "pixel_size_angstrom": 1.0})
    before = queued_job(
        project, owner.user.pk, inputs={"input": f"dataset:{dataset.pk}"}, parameters={"steps": 900}
    )
    after = queued_job(project, owner.user.pk)
    assert told(owner, before)["starts_in_s"] == pytest.approx(100)
    assert told(owner, after)["starts_in_s"] > 100 + 900 * 0.1 / 64


def test_nothing_is_foretold_of_what_has_just_begun_or_is_overdue(owner: Any, project: Project) -> None:
    at_work(owner, project, progress=0.01, wall_s=5)
    assert told(owner, queued_job(project, owner.user.pk))["starts_in_s"] is None


def test_a_run_says_the_same_of_its_step(owner: Any, project: Project) -> None:
    at_work(owner, project, progress=0.5, wall_s=7200)
    file = make_dataset(owner, {"a.txt": b"1"}).files.get()
    run = start_run(
        actor=owner.actor,
        project=project,
        workflow="tally",
        parameters={},
        inputs={"input": f"file:{file.pk}"},
    )
    page = owner.client.get(f"/runs/{run.pk}/").content.decode()
    assert "Waiting for a free slot" in page and "may start in about 2 h." in page


def test_an_operator_who_pauses_a_full_disk_and_used_up_compute_are_reasons(
    owner: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queued_job(project, owner.user.pk)
    moment = now()
    UsageRecord.unscoped.create(
        organization=owner.organization, attempt_id="x", job_type="pick", wall_s=1, cpu_s=1, peak_memory_bytes=1,
        billed_s=20 * 3600, ended="succeeded", started_at=moment - timedelta(hours=20), finished_at=moment,
    )  # fmt: skip
    assert "The 20 hours of compute of the trial are used up" in told(owner, job)["reason"]
    assert told(owner, job)["place"] == 0
    Organization.objects.update(state=Organization.State.ACTIVE)
    with monkeypatch.context() as patched:
        patched.setattr("cryocloud.web.core.disk_room.is_low", lambda: True)
        assert "disk of the server is full" in told(owner, job)["reason"]
    pause_dispatch()
    assert told(owner, job)["reason"] == "The operator lets no job start at the moment"


def test_jobs_of_those_who_cannot_start_are_not_before_anybody(
    owner: Any, stranger: Any, project: Project
) -> None:
    Organization.objects.filter(pk=stranger.organization.pk).update(state=Organization.State.TRIAL_ENDED)
    for _ in range(3):
        queued_job(make_project(stranger), stranger.user.pk)
    assert told(owner, queued_job(project, owner.user.pk))["place"] == 1


def test_an_organization_with_all_it_may_have_is_told_so(
    owner: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(monkeypatch, slots=3, slots_per_organization=1)
    at_work(owner, project)
    assert (
        "has 1 at work, as many jobs as it may" in told(owner, queued_job(project, owner.user.pk))["reason"]
    )


def test_what_does_not_wait_says_nothing(
    owner: Any, project: Project, make_member: Callable[..., Any]
) -> None:
    attempt = at_work(owner, project)
    assert told(owner, attempt.job) is None
