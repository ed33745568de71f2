"""Failed and cancelled jobs do not fill the disk for ever."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cryocloud.web.core import disk_room
from cryocloud.web.core.clock import now
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import create_job
from cryocloud.web.scheduling.tasks import UNFINISHED_KEPT, remove_unfinished_work

pytestmark = pytest.mark.usefixtures("counting")


def left_behind(member: Any, project: Project, job_state: str, age: timedelta) -> Path:
    job = create_job(
        actor=member.actor, project=project, job_type="counting", parameters={"steps": 1}, inputs={}
    )
    Job.unscoped.filter(pk=job.pk).update(state=job_state)
    attempt = Attempt.unscoped.create(
        organization=member.organization,
        job=job,
        number=1,
        fence=1,
        state="cancelled",
        finished_at=now() - age,
    )
    out = attempt_folder(attempt.pk) / "out"
    (out / ".checkpoint/deep").mkdir(parents=True)
    (out / "particles.mrcs").write_bytes(bytes(1000))
    (out / "log.txt").write_text("what happened")
    return out


def test_what_a_cancelled_job_left_goes_after_a_week_but_for_its_log(owner: Any, project: Project) -> None:
    old = left_behind(owner, project, "cancelled", UNFINISHED_KEPT + timedelta(hours=1))
    fresh = left_behind(owner, project, "cancelled", timedelta(days=1))
    waiting = left_behind(owner, project, "queued", UNFINISHED_KEPT + timedelta(days=9))
    remove_unfinished_work()
    assert [path.name for path in old.iterdir()] == ["log.txt"]
    assert (fresh / "particles.mrcs").exists() and (waiting / "particles.mrcs").exists()


def test_on_a_full_disk_the_oldest_goes_at_once_and_no_more_than_needed(
    owner: Any, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = left_behind(owner, project, "cancelled", timedelta(hours=2))
    newer = left_behind(owner, project, "failed", timedelta(hours=1))
    monkeypatch.setattr(disk_room, "is_low", (older / "particles.mrcs").exists)
    remove_unfinished_work()
    assert not (older / "particles.mrcs").exists()
    assert (newer / "particles.mrcs").exists()
