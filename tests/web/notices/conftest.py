"""People with addresses of their own, a project, and a worker in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.models import EmailAddress

import cryocloud.catalog.types
import cryocloud.catalog.workflows
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.tasks import run_next
from cryocloud.web.operations.worker import LANES
from cryocloud.web.projects.models import Project
from platform_orders import FAKE_JOB_TYPES, make_project


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job type ``counting`` and the workflow ``tally``."""
    for package, folder in ((cryocloud.catalog.types, "catalog"), (cryocloud.catalog.workflows, "workflows")):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(FAKE_JOB_TYPES / folder)])


@pytest.fixture
def make_person(make_member: Callable[..., Any]) -> Callable[..., Any]:
    """A member whose address is verified."""

    def make(*arguments: Any, **named: Any) -> Any:
        member = make_member(*arguments, **named)
        EmailAddress.objects.create(user=member.user, email=member.user.email, verified=True, primary=True)
        return member

    return make


@pytest.fixture
def ada(make_person: Callable[..., Any]) -> Any:
    """An owner."""
    return make_person()


@pytest.fixture
def project(ada: Any) -> Project:
    return make_project(ada)


def work() -> None:
    """Whatever is due of mails and calls, as the worker's threads do it."""
    while any(run_next("worker", LANES[lane]) for lane in ("mailing", "calling")):
        pass


def make_due() -> None:
    """Nobody waits any longer for the next try."""
    BackgroundTask.objects.filter(state=BackgroundTask.State.READY).update(run_after="2020-01-01T00:00Z")
