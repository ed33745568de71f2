"""A scheduler in this process, with real runners, and job types that do little."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import cryocloud.catalog.types
import cryocloud.catalog.workflows
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt
from cryocloud.web.scheduling.scheduler import Scheduler
from platform_orders import FAKE_JOB_TYPES, make_project


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job type ``counting`` and the workflow ``tally``, here and in the runners."""
    for package, folder in ((cryocloud.catalog.types, "catalog"), (cryocloud.catalog.workflows, "workflows")):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(FAKE_JOB_TYPES / folder)])
    monkeypatch.setenv("PYTHONPATH", str(FAKE_JOB_TYPES), prepend=os.pathsep)


@pytest.fixture
def project(owner: Any) -> Project:
    return make_project(owner)


@pytest.fixture
def scheduler(counting: None) -> Iterator[Scheduler]:
    made = Scheduler(timedelta(seconds=60))
    yield made
    for runner in made.runners.values():
        runner.kill()
        runner.wait()


@pytest.fixture
def turn_until(scheduler: Scheduler) -> Callable[..., None]:
    """``turn_until(condition)``: the scheduler's turns, as often as it takes."""

    def turn(condition: Callable[[], bool], *, by: Scheduler = scheduler, timeout_s: float = 200.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, list(Attempt.unscoped.values())
            assert by._leads()
            by.turn()
            time.sleep(0.05)

    return turn
