"""Metered seconds against an account of the kernel that shares nothing with the runner."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cryocloud.compute.attempt import Attempt as Directory
from cryocloud.web.core.places import attempt_folder
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.runs.services import create_job
from cryocloud.web.scheduling.scheduler import Scheduler

pytestmark = pytest.mark.usefixtures("counting")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
TOLERANCE_S = 1.0
"""As the requirement says (LOG-01)."""
WAYS = ("none", "killed", "eats_memory", "bug", "segfault", "bad_input", "none")
MEMORY_BYTES = 500 << 20


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that eat memory are out of it soon."""
    monkeypatch.setattr("cryocloud.web.scheduling.memory.HEADROOM_BYTES", MEMORY_BYTES)


@dataclass
class Watched:
    """A job process: since when the kernel says that it lives, and when its end was seen."""

    handle: int
    began_s: float
    ended_s: float | None = None
    waiting: threading.Thread | None = None

    def wait(self) -> None:
        """A pidfd becomes readable when its process has ended."""
        select.select([self.handle], [], [])
        self.ended_s = time.monotonic()
        os.close(self.handle)


class Account:
    """Looks at the job processes of attempts from outside: start by /proc/PID/stat, end by a pidfd."""

    def __init__(self) -> None:
        self.watched: dict[str, Watched] = {}

    def look(self) -> None:
        for attempt_id in Attempt.unscoped.filter(state__in=Attempt.OPEN).values_list("pk", flat=True):
            if attempt_id not in self.watched:
                self._begin(attempt_id)

    def _begin(self, attempt_id: str) -> None:
        body = Directory(attempt_folder(attempt_id)).body()
        if body is None:
            return
        try:
            handle = os.pidfd_open(body.pid)
        except ProcessLookupError:
            return
        # Ticks since the boot count a suspended machine too; the steady clock does not.
        suspended_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        watched = Watched(handle, body.start_ticks / TICKS_PER_S - suspended_s)
        watched.waiting = threading.Thread(target=watched.wait, daemon=True)
        watched.waiting.start()
        self.watched[attempt_id] = watched


def meter(owner: Any, project: Project, scheduler: Scheduler, count: int) -> list[tuple[UsageRecord, float]]:
    """Runs so many jobs, ending in every way; each record with what the kernel says that it took."""
    jobs = []
    for number in range(count):
        mishap = WAYS[number % len(WAYS)]
        given = {"steps": 3, "step_s": 0.1 + 0.05 * (number % 5), "mishap": mishap, "mishap_step": 2}
        jobs.append(
            create_job(actor=owner.actor, project=project, job_type="counting", parameters=given, inputs={})
        )
    account = Account()
    while Job.unscoped.filter(pk__in=[job.pk for job in jobs]).exclude(state__in=Job.ENDED).exists():
        assert scheduler._leads()
        scheduler.turn()
        account.look()
        time.sleep(0.005)
    found = []
    for record in UsageRecord.unscoped.all():
        seen = account.watched[record.attempt_id]
        assert seen.waiting is not None
        seen.waiting.join()
        assert seen.ended_s is not None
        found.append((record, seen.ended_s - seen.began_s))
    return found


def check(found: list[tuple[UsageRecord, float]], count: int, report: Callable[[str, Any], None]) -> None:
    errors_s = sorted(abs(record.wall_s - taken_s) for record, taken_s in found)
    report("attempts", len(found))
    report("largest_error_s", round(errors_s[-1], 3))
    report("median_error_s", round(errors_s[len(errors_s) // 2], 3))
    assert len(found) == count, "none is missing, none is counted twice"
    assert errors_s[-1] <= TOLERANCE_S, errors_s[-5:]
    assert {record.cause for record, _ in found} == {"done", "memory", "fault", "bad_input"}
    for record, _ in found:
        assert record.billed_s == (0 if record.is_fault else int(record.wall_s))


def test_each_way_to_end_is_metered_to_the_second(
    owner: Any, project: Project, scheduler: Scheduler, record_testsuite_property: Callable[[str, Any], None]
) -> None:
    count = len(WAYS)
    check(meter(owner, project, scheduler, count), count, record_testsuite_property)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.requirement("LOG-01")
def test_two_hundred_attempts_are_metered_to_the_second(
    owner: Any, project: Project, scheduler: Scheduler, record_testsuite_property: Callable[[str, Any], None]
) -> None:
    check(meter(owner, project, scheduler, 200), 200, record_testsuite_property)
