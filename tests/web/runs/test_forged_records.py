"""Attempt folders as nobody should find them: the slot is free again, and nothing is billed that cannot be."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cryocloud.compute.attempt import Attempt as Directory
from cryocloud.web.core.clock import now
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import create_job
from cryocloud.web.scheduling.records import CLOCK_SLACK_S
from cryocloud.web.scheduling.scheduler import FAILING_TURNS_MAX, Scheduler
from platform_orders import make_project

pytestmark = pytest.mark.usefixtures("counting")

GOOD_EXIT = {
    "code": 0,
    "message": "",
    "finished_at_s": 1.0,
    "wall_s": 1.0,
    "cpu_s": 1.0,
    "peak_memory_bytes": 1,
}
GOOD_BEAT = {"monotonic_s": 1.0, "wall_s": 1.0, "cpu_s": 1.0, "memory_bytes": 1}
GOOD_RECORD = {"type": "counting", "decisions": [], "exceptions": 0}
OURSELVES = {"pid": os.getpid(), "start_ticks": 1, "boot_id": "x", "host": "y"}
RECORDS: dict[str, dict[str, Any]] = {
    "exit.json": GOOD_EXIT, "hb.json": GOOD_BEAT, "started.json": OURSELVES, "body.json": OURSELVES,
    "out/job.json": GOOD_RECORD, "out/metrics.json": {"sum": 1.0},
}  # fmt: skip
VALUES = (
    -1, -1e18, 0, 1e18, 10**400, True, None, "", "1", "NaN", [], {}, [[]], "\ud800", "\0", "x" * 100_000,
    float("nan"), float("inf"), 2**63, -(2**70), {"a": {"b": {"c": {"d": {"e": {}}}}}}, 1, 130, 75, 3,
)  # fmt: skip
TEXTS = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b"{" * 5000,
    b"[" * 200_000,
    b"NaN",
    b"9" * 5000,
    b"\0" * 100,
)


def mutate(draw: random.Random, folder: Path, outside: Path) -> None:
    """One to three things that should not be."""
    for _ in range(draw.randint(1, 3)):
        name = draw.choice(list(RECORDS))
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        way = draw.choice(
            ("value", "value", "value", "drop", "text", "folder", "pipe", "link", "hard link", "huge")
        )
        _remove(path)
        match way:
            case "value":
                record = dict(RECORDS[name])
                record[draw.choice([*record, "more"])] = draw.choice(VALUES)
                path.write_text(json.dumps(record), errors="surrogatepass")
            case "drop":
                record = dict(RECORDS[name])
                record.pop(draw.choice(list(record)))
                path.write_text(json.dumps(record))
            case "text":
                path.write_bytes(draw.choice(TEXTS))
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case "link":
                path.symlink_to(draw.choice((outside, folder, Path("/dev/zero"), path)))
            case "hard link":
                os.link(outside, path)
            case "huge":
                os.truncate(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 1 << 38)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def folder_that_ended(attempt: Attempt) -> Path:
    """As a runner leaves it."""
    folder = attempt_folder(attempt.pk)
    (folder / "out").mkdir(parents=True)
    (folder / "handover").mkdir()
    (folder / "spec.json").write_text("{}")
    (folder / "claim").touch()
    os.utime(folder / "claim", (0, 0))
    for name in ("exit.json", "hb.json", "out/job.json", "out/metrics.json"):
        (folder / name).write_text(json.dumps(RECORDS[name]))
    return folder


def open_attempt(member: Any, project: Project) -> Attempt:
    job = create_job(
        actor=member.actor, project=project, job_type="counting", parameters={"steps": 1}, inputs={}
    )
    Job.unscoped.filter(pk=job.pk).update(state=Job.State.RUNNING, retries_left=0)
    attempt: Attempt = Attempt.unscoped.create(organization=member.organization, job=job, number=1, fence=1)
    return attempt


@pytest.mark.parametrize(
    "count", [60, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])]
)
def test_no_folder_blocks_a_slot_or_is_billed_beyond_the_clock(
    owner: Any, project: Project, scheduler: Scheduler, turn_until: Callable[..., None], tmp_path: Path, count: int
) -> None:  # fmt: skip
    outside = tmp_path / "secret-key"
    outside.write_text(json.dumps(GOOD_EXIT | {"message": "secret of the platform"}))
    draw = random.Random(8)
    began_at = now()
    done = 0
    while done < count:
        batch = [open_attempt(owner, project) for _ in range(min(20, count - done))]
        for attempt in batch:
            mutate(draw, folder_that_ended(attempt), outside)
        done += len(batch)

        def all_ended() -> bool:
            return not Attempt.unscoped.filter(state__in=Attempt.OPEN).exists()

        turn_until(all_ended)
    passed_s = (now() - began_at).total_seconds() + CLOCK_SLACK_S + 1
    rows = UsageRecord.unscoped.all()
    assert rows.count() == count
    assert all(
        0 <= row.billed_s <= passed_s and 0 <= row.wall_s <= passed_s and row.cpu_s >= 0 for row in rows
    )
    assert not Job.unscoped.exclude(state__in=Job.ENDED).exists()
    told = [
        *Job.unscoped.values_list("message", flat=True),
        *map(str, Job.unscoped.values_list("metrics", flat=True)),
    ]
    assert not any("secret of the platform" in text or str(tmp_path) in text for text in told)
    assert outside.stat().st_nlink >= 1 and json.loads(outside.read_text())["code"] == 0


def test_a_record_of_a_stranger_is_never_signalled(
    owner: Any, project: Project, scheduler: Scheduler, turn_until: Callable[..., None]
) -> None:
    """Our own process, under a forged time of start: if it were signalled, this test would not end."""
    attempt = open_attempt(owner, project)
    folder = folder_that_ended(attempt)
    (folder / "exit.json").unlink()
    mine = Directory(folder)
    mine.write_started()
    forged = json.loads(mine.started_file.read_text()) | {"start_ticks": 7}
    for name in ("started.json", "body.json"):
        (folder / name).write_text(json.dumps(forged))
    turn_until(lambda: not Attempt.unscoped.filter(state__in=Attempt.OPEN).exists())
    attempt.refresh_from_db()
    assert attempt.state == Attempt.State.LOST


def test_a_claim_that_is_taken_while_the_scheduler_looks_is_no_lost_runner(
    owner: Any, project: Project, scheduler: Scheduler, turn_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The runner takes it between two looks of the same turn."""
    look = Directory.is_running

    def look_too_early(self: Directory) -> bool:
        found = look(self)
        runner = scheduler.runners.get(self.folder.name)
        while runner is not None and not self.claim_file.exists() and runner.poll() is None:
            time.sleep(0.01)
        return found

    monkeypatch.setattr(Directory, "is_running", look_too_early)
    job = create_job(
        actor=owner.actor, project=project, job_type="counting", parameters={"steps": 1}, inputs={}
    )
    turn_until(lambda: Job.unscoped.get(pk=job.pk).state in Job.ENDED)
    assert list(job.attempts.values_list("state", flat=True)) == [Attempt.State.SUCCEEDED]


def test_an_attempt_that_cannot_be_attended_gives_up_its_slot(
    owner: Any, stranger: Any, project: Project, scheduler: Scheduler, turn_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    attempt = open_attempt(owner, project)
    folder_that_ended(attempt)
    attend = scheduler._attend
    turns = []

    def fail(one: Attempt) -> None:
        if one.pk == attempt.pk:
            turns.append(one.pk)
            raise RuntimeError("a fault of ours")
        attend(one)

    monkeypatch.setattr(scheduler, "_attend", fail)
    turn_until(lambda: not Attempt.unscoped.filter(pk=attempt.pk, state__in=Attempt.OPEN).exists())
    assert len(turns) == FAILING_TURNS_MAX
    attempt.job.refresh_from_db()
    assert attempt.job.state == Job.State.FAILED and "could not go on" in attempt.job.message
    assert UsageRecord.unscoped.get().billed_s == 0
    other = create_job(
        actor=stranger.actor,
        project=make_project(stranger),
        job_type="counting",
        parameters={"steps": 1},
        inputs={},
    )
    turn_until(lambda: Job.unscoped.get(pk=other.pk).state == Job.State.DONE)
