"""What two do at the same time happens once, or one after the other: on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from typing import Any, TypeVar

import pytest
from django.db import connection, transaction

from cryocloud.web.accounts.models import User
from cryocloud.web.configuration import configuration
from cryocloud.web.core import tasks
from cryocloud.web.core.errors import Conflict, NotFound, QuotaExceeded
from cryocloud.web.core.events import events_in_order, publish
from cryocloud.web.core.leases import take_lease
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.data.inspection import order_inspection
from cryocloud.web.data.models import Dataset
from cryocloud.web.data.services import purge_dataset, restore_dataset, trash_dataset
from cryocloud.web.operations.first_admin import create_first_operator, offer_first_link
from cryocloud.web.organizations.invitations import invite_member, open_invitations, send_invitation
from cryocloud.web.organizations.models import Membership, Role
from cryocloud.web.organizations.services import change_role
from cryocloud.web.projects import services as projects
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.runs.services import cancel_job, create_job
from cryocloud.web.scheduling.dispatch import LEASE, Leadership, submit_next
from platform_orders import make_dataset, make_project

pytestmark = pytest.mark.django_db(transaction=True)
Outcome = TypeVar("Outcome")


def at_once(*acts: Callable[[], Outcome]) -> list[Outcome | Exception]:
    """What each gave, or how it was refused; all begin together."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Outcome]) -> Outcome | Exception:
        barrier.wait()
        try:
            return act()
        except (Conflict, NotFound, QuotaExceeded) as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def job_of(owner: Any, project: Project) -> Job:
    return create_job(
        actor=owner.actor,
        project=project,
        job_type="simulate_map",
        parameters={"pixel_size_angstrom": 2.5},
        inputs={"model": "procedural"},
    )


def test_jobs_of_a_project_have_numbers_of_their_own(owner):
    project = make_project(owner)
    made = at_once(*[lambda: job_of(owner, project)] * 6)
    assert sorted(job.number for job in made) == [1, 2, 3, 4, 5, 6]


def test_the_last_compute_is_reserved_once(owner, monkeypatch):
    fresh = configuration().model_copy(update={"slots": 8})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    project = make_project(owner)
    for _ in range(4):
        job_of(owner, project)
    leadership = Leadership("a" * 26, take_lease(LEASE, "a" * 26, timedelta(minutes=5)) or 0)
    monkeypatch.setattr("cryocloud.web.metering.services.compute_limit_s", lambda _: 60)
    at_once(*[lambda: submit_next(leadership, set())] * 4)
    assert Attempt.unscoped.count() == 1


def test_whoever_lost_the_lease_submits_nothing(owner):
    job_of(owner, make_project(owner))
    former = Leadership("a" * 26, take_lease(LEASE, "a" * 26, timedelta(0)) or 0)
    later = Leadership("b" * 26, take_lease(LEASE, "b" * 26, timedelta(minutes=5)) or 0)
    at_once(lambda: submit_next(former, set()), lambda: submit_next(former, set()))
    assert Attempt.unscoped.count() == 0
    submit_next(later, set())
    assert Attempt.unscoped.get().fence == later.fence


def test_a_lease_has_one_owner():
    owners = [letter * 26 for letter in "abcdef"]
    for name in ("first", "second", "third"):
        fences = at_once(
            *[lambda name=name, one=one: take_lease(name, one, timedelta(minutes=1)) for one in owners]
        )
        assert sorted(fences, key=str) == [1, *[None] * 5]


def test_a_task_is_done_by_one_worker():
    for _ in range(12):
        send_invitation.enqueue("unknown")

    def work() -> int:
        done = 0
        while tasks.run_next("w" * 26):
            done += 1
        return done

    assert sum(at_once(*[work] * 4)) >= 12
    assert set(BackgroundTask.objects.values_list("state", "tries")) == {("done", 1)}


def test_a_waiting_order_to_read_files_begins_after_the_file_is_there(owner):
    dataset, ordered, taken = make_dataset(owner, {}), Event(), []

    def add_file() -> None:
        with transaction.atomic():
            order_inspection(owner.organization.pk)
            ordered.set()
            time.sleep(0.5)
            Dataset.unscoped.filter(pk=dataset.pk).update(description="a file more")

    def take() -> None:
        ordered.wait()
        while (row := tasks._take("w" * 26, tasks.Q())) is None:
            time.sleep(0.02)
        taken.append((row.path, Dataset.unscoped.get(pk=dataset.pk).description))

    order_inspection(owner.organization.pk)
    at_once(add_file, take)
    assert taken == [("cryocloud.web.data.inspection.inspect_files", "a file more")]


def test_readers_of_events_miss_none_however_long_their_writers_take(owner):
    told: list[int] = []
    writing = Barrier(5)

    def write() -> None:
        writing.wait()
        for _ in range(15):
            with transaction.atomic():
                publish(owner.organization.pk, ["project:p"], "job", {})
                time.sleep(random.uniform(0, 0.02))

    def read() -> None:
        writing.wait()
        deadline_s = time.monotonic() + 60
        while len(told) < 60 and time.monotonic() < deadline_s:
            last = told[-1] if told else 0
            told.extend(events_in_order().filter(id__gt=last).order_by("id").values_list("id", flat=True))
            time.sleep(0.005)

    at_once(read, *[write] * 4)
    assert len(told) == len(set(told)) == 60


def test_an_address_has_one_open_invitation(owner, monkeypatch):
    monkeypatch.setattr("cryocloud.web.organizations.invitations.require_second_factor", lambda *_: None)
    at_once(
        *[
            lambda: invite_member(
                actor=owner.actor, organization=owner.organization, email="new@lab.example", role=Role.VIEWER
            )
        ]
        * 4
    )
    assert open_invitations(owner.organization).count() == 1


def test_two_owners_that_step_down_leave_one(owner, make_member):
    other = make_member(owner.organization, name="grace")
    at_once(
        *[
            lambda one=one: change_role(
                actor=one.actor,
                membership=Membership.unscoped.get(user=one.user, organization=owner.organization),
                role=Role.VIEWER,
            )
            for one in (owner, other)
        ]
    )
    assert Membership.unscoped.filter(organization=owner.organization, role=Role.OWNER).count() == 1


def test_the_first_link_makes_one_operator():
    secret = offer_first_link().split("/")[2]
    at_once(
        *[
            lambda name=name: create_first_operator(
                secret=secret,
                name=name,
                email=f"{name}@lab.example",
                password="the Thon rings",
                organization_name=name,
            )
            for name in ("ada", "eve", "joan")
        ]
    )
    assert User.objects.filter(is_operator=True).count() == 1


def test_no_more_projects_than_the_limit(owner, monkeypatch):
    monkeypatch.setattr(projects, "PROJECTS_MAX", 2)
    make = lambda: projects.create_project(actor=owner.actor, organization=owner.organization, name="P")  # noqa: E731
    at_once(*[make] * 5)
    assert Project.unscoped.count() == 2


def test_a_dataset_is_restored_or_deleted_for_good_and_not_both(owner):
    for _ in range(3):
        dataset = trash_dataset(actor=owner.actor, dataset=make_dataset(owner))
        at_once(
            lambda dataset=dataset: restore_dataset(actor=owner.actor, dataset=dataset),
            lambda dataset=dataset: purge_dataset(actor=owner.actor, dataset=dataset),
        )
        left = Dataset.unscoped.get(pk=dataset.pk)
        assert (left.trashed_at is None) == (left.purge_ordered_at is None)


def test_who_holds_an_organization_keeps_nobody_from_ordering_in_it(owner):
    """Otherwise the end of a job, which then takes the project, and an order in that project wait for each other."""
    project, held, made = make_project(owner), Event(), []
    if connection.vendor == "sqlite":
        pytest.skip("writers of SQLite wait in line")

    def hold() -> None:
        with transaction.atomic():
            projects.Organization.objects.select_for_update(no_key=True).get(pk=owner.organization.pk)
            held.set()
            deadline_s = time.monotonic() + 10
            while not made and time.monotonic() < deadline_s:
                time.sleep(0.01)
            assert made

    def order() -> None:
        held.wait()
        made.append(job_of(owner, project))

    at_once(hold, order)
    assert made


def test_a_job_is_cancelled_once(owner):
    job = job_of(owner, make_project(owner))
    outcomes = at_once(*[lambda: cancel_job(actor=owner.actor, job=Job.unscoped.get(pk=job.pk))] * 4)
    assert sum(one is None for one in outcomes) == 1
    assert Run.unscoped.count() == 0
