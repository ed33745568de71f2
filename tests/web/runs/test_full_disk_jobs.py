"""While the disk is low no job starts, each says why it waits, and the one that fills the disk is stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cryocloud.compute.attempt import Attempt as Directory
from cryocloud.web.configuration import configuration
from cryocloud.web.core import disk_room
from cryocloud.web.core.errors import DiskFull
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import cancel_job, create_job
from cryocloud.web.scheduling import room, scheduler
from platform_orders import make_project

pytestmark = pytest.mark.usefixtures("counting")
Turn = Callable[..., None]
Reserve = Callable[[int], None]


@pytest.fixture
def reserve(monkeypatch: pytest.MonkeyPatch) -> Reserve:
    """``reserve(2**60)``: more than there is, so that the disk is low."""
    monkeypatch.setattr(scheduler, "ROOM_EVERY_S", 0.0)

    def change(size_bytes: int) -> None:
        monkeypatch.setattr(disk_room, "BYTES_MIN", size_bytes)
        fresh = configuration().model_copy(update={"disk_reserve_bytes": size_bytes, "slots": 2})
        monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)

    change(1)
    return change


def count(member: Any, project: Project, **parameters: Any) -> Job:
    steps = {"steps": 3} | parameters
    return create_job(actor=member.actor, project=project, job_type="counting", parameters=steps, inputs={})


def test_jobs_wait_with_a_reason_and_start_by_themselves(
    owner: Any, project: Project, turn_until: Turn, reserve: Reserve
) -> None:
    job = count(owner, project)
    reserve(2**60)
    turn_until(lambda: Job.unscoped.get().progress_message == room.WAITS)
    assert not Attempt.unscoped.exists()
    page = owner.client.get(f"/jobs/{job.pk}/").content.decode()
    assert "Waits: the disk of the server is full; it starts by itself when there is room." in page
    with pytest.raises(DiskFull):
        count(owner, project)
    waiting = Job.unscoped.get()
    reserve(1)
    turn_until(lambda: Job.unscoped.get().state == Job.State.DONE)
    assert waiting.pk == job.pk


def test_a_waiting_job_is_cancelled_on_a_full_disk(owner: Any, project: Project, reserve: Reserve) -> None:
    job = count(owner, project)
    reserve(2**60)
    cancel_job(actor=owner.actor, job=job)
    assert job.state == Job.State.CANCELLED


def at_work(job: Job) -> Directory | None:
    attempt = job.attempts.filter(state__in=Attempt.OPEN).first()
    directory = Directory(attempt_folder(attempt.pk)) if attempt else None
    return directory if directory and directory.events_file.exists() and directory.body() else None


def write(directory: Directory, size_bytes: int) -> Path:
    """As the body of the job would."""
    large = directory.folder / "out" / "large.bin"
    large.write_bytes(bytes(size_bytes))
    return large


def test_the_job_that_fills_the_disk_is_stopped_and_what_it_wrote_is_removed(
    owner: Any, stranger: Any, project: Project, turn_until: Turn, reserve: Reserve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    filling = count(owner, project, steps=2, mishap="sleep", mishap_step=0)
    harmless = count(stranger, make_project(stranger), steps=2, mishap="sleep", mishap_step=0)
    turn_until(lambda: bool(at_work(filling) and at_work(harmless)))
    large, small = write(at_work(filling), 32 << 20), write(at_work(harmless), 1 << 20)
    body = at_work(filling).body()
    # A quarter of the reserve lies between the two; each also has a few MiB of compiled kernels.
    reserve(64 << 20)
    monkeypatch.setattr(disk_room, "is_low", lambda: True)
    turn_until(lambda: Job.unscoped.get(pk=filling.pk).state in Job.ENDED)
    filling.refresh_from_db()
    assert (filling.state, filling.message) == ("failed", room.STOPPED)
    assert not large.exists()
    assert not body.is_alive()
    assert UsageRecord.unscoped.get().billed_s == 0
    harmless.refresh_from_db()
    assert harmless.state == "running"
    assert small.exists()
    cancel_job(actor=stranger.actor, job=harmless)
    monkeypatch.setattr(scheduler, "STOP_GRACE_S", 0.0)
    turn_until(lambda: Job.unscoped.get(pk=harmless.pk).state == Job.State.CANCELLED)
