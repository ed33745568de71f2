"""Many submissions at the same time against the last hour of compute, through the scheduler's own dispatch."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import Sum

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import new_id
from cryocloud.web.core.leases import take_lease
from cryocloud.web.metering import grants
from cryocloud.web.metering.models import Reservation, UsageRecord
from cryocloud.web.metering.services import remaining_compute_s
from cryocloud.web.organizations.models import Organization
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job
from cryocloud.web.scheduling.dispatch import LEASE, Leadership, _submit
from cryocloud.web.scheduling.pausing import claim_of

pytestmark = pytest.mark.django_db(transaction=True)
TRIAL_S = 20 * 3600
LAST_HOUR_S = 3600
THREADS = 24


@pytest.fixture
def leadership() -> Leadership:
    owner = new_id()
    fence = take_lease(LEASE, owner, timedelta(hours=2))
    assert fence is not None
    return Leadership(owner, fence)


@pytest.fixture
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """``at_once(act, things)``: each in a thread with a connection of its own, as many as can at the same time."""
    with ThreadPoolExecutor(THREADS) as pool:

        def do(act: Callable[[Any], Any], things: list[Any]) -> list[Any]:
            together = threading.Barrier(min(THREADS, len(things)))

            def one(numbered: tuple[int, Any]) -> Any:
                if numbered[0] < together.parties:
                    together.wait()
                try:
                    return until_answered(act, numbered[1])
                finally:
                    connection.close()

            return list(pool.map(one, enumerate(things)))

        yield do


def until_answered(act: Callable[[Any], Any], thing: Any) -> Any:
    """A database that was busy for too long has done nothing; like the scheduler at its next turn, ask again."""
    while True:
        try:
            return act(thing)
        except OperationalError as error:
            if "locked" not in str(error):
                raise


def queue_of(count: int) -> tuple[Organization, list[str]]:
    """Jobs of an organization with an hour left of its trial."""
    organization = Organization.objects.create(name="Racers")
    UsageRecord.unscoped.create(
        organization=organization, attempt_id=new_id(), job_type="ctf", wall_s=1.0, cpu_s=1.0, peak_memory_bytes=1,
        billed_s=TRIAL_S - LAST_HOUR_S, ended="succeeded", started_at=now(), finished_at=now(),
    )  # fmt: skip
    project = Project.unscoped.create(organization=organization, name="Race", created_by_id=new_id())
    jobs = [
        Job(
            organization=organization, project=project, number=number, job_type="ctf", version=1, parameters={},
            inputs={}, created_by_id=project.created_by_id,
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    Job.unscoped.bulk_create(jobs)
    return organization, [job.pk for job in jobs]


def spent_and_held_s(organization: Organization) -> int:
    billed = UsageRecord.unscoped.filter(organization=organization).aggregate(s=Sum("billed_s"))["s"]
    held = Reservation.unscoped.filter(organization=organization).aggregate(s=Sum("granted_s", default=0))[
        "s"
    ]
    return int(billed + held)


def race(leadership: Leadership, at_once: Callable[..., list[Any]], count: int, seed: int) -> None:
    organization, job_ids = queue_of(count)
    seen: list[int] = []
    submitted = at_once(lambda job_id: _submit(leadership, job_id), job_ids)
    attempts = [one for one in submitted if isinstance(one, Attempt)]
    assert len(attempts) == min(count, LAST_HOUR_S // grants.AHEAD_S)
    assert {one for one in submitted if one not in attempts} <= {grants.Shortage.QUOTA}
    seen.append(spent_and_held_s(organization))

    draw = random.Random(seed)
    uses = [(attempt, draw.uniform(0, 200)) for attempt in attempts]

    def work(use: tuple[Attempt, float]) -> int:
        attempt, used_s = use
        claimed = claim_of(attempt)
        shortage = grants.note_use(claimed, used_s)
        if shortage is not None:
            grants.stop_granting(organization.pk, attempt.pk)
        seen.append(spent_and_held_s(organization))
        with transaction.atomic():
            moment = grants.hold_moment(organization.pk)
            billed_s = grants.settle(claimed, used_s + 1, was_stopped=shortage is not None, moment=moment)
            UsageRecord.unscoped.create(
                organization=organization, attempt_id=attempt.pk, job_type="ctf", wall_s=used_s + 1, cpu_s=1.0,
                peak_memory_bytes=1, billed_s=billed_s, ended="succeeded", started_at=moment, finished_at=moment,
            )  # fmt: skip
        remaining_s = remaining_compute_s(organization)
        assert remaining_s is not None and remaining_s >= 0
        return billed_s

    billed = at_once(work, uses)
    seen.append(spent_and_held_s(organization))
    assert max(seen) <= TRIAL_S
    assert sum(billed) == spent_and_held_s(organization) - (TRIAL_S - LAST_HOUR_S)
    assert not Reservation.unscoped.filter(organization=organization).exists()
    wished = sum(int(used_s + 1) for _, used_s in uses)
    assert sum(billed) <= min(wished, LAST_HOUR_S)


def test_submissions_at_the_same_time_never_take_more_than_is_left(
    leadership: Leadership, at_once: Callable[..., list[Any]]
) -> None:
    race(leadership, at_once, 100, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.requirement("TRL-06")
def test_a_thousand_submissions_against_the_last_hour_twenty_times(
    leadership: Leadership, at_once: Callable[..., list[Any]]
) -> None:
    for seed in range(20):
        race(leadership, at_once, 1000, seed)
