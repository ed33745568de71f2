"""What is granted and billed never exceeds the limit of a span or a cap, whatever comes in whatever order."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryocloud.web.core.clock import now
from cryocloud.web.metering import grants
from cryocloud.web.metering.allowances import give_allowance
from cryocloud.web.metering.grants import Shortage
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.metering.models import Allowance, Reservation, UsageRecord
from cryocloud.web.metering.services import (
    organizations_out_of_compute,
    remaining_compute_s,
    running_compute_s,
    used_compute_s,
)
from cryocloud.web.organizations.models import Organization
from web.metering.conftest import claim

HOUR_S = 3600


def held_s(organization):
    return Reservation.unscoped.filter(organization=organization).aggregate(s=Sum("granted_s", default=0))[
        "s"
    ]


def end(claimed, measured_s, *, was_stopped=False):
    with transaction.atomic():
        moment = grants.hold_moment(claimed.organization_id)
        return grants.settle(claimed, measured_s, was_stopped=was_stopped, moment=moment)


def plan(organization, **changes):
    values = {
        "from_at": now() - timedelta(days=1), "until_at": now() + timedelta(days=29), "plan_code": "lab",
        "plan_name": "Lab", "compute_s": 100 * HOUR_S, "storage_bytes": 10**12,
    }  # fmt: skip
    Organization.objects.filter(pk=organization.pk).update(state="active", state_until=None)
    organization.refresh_from_db()
    return give_allowance(Allowance(organization=organization, **values | changes))


@pytest.fixture
def lab(owner):
    return owner.organization


@pytest.mark.requirement("BIL-01")
def test_a_record_can_be_neither_changed_nor_removed(lab, record):
    made = record(lab, 5)
    for act in (
        lambda: UsageRecord.unscoped.update(billed_s=0),
        made.delete,
        UsageRecord.unscoped.all().delete,
        lambda: made.save(force_update=True),
    ):
        with pytest.raises(DatabaseError, match="only ever added"), transaction.atomic():
            act()
    made.refresh_from_db()
    assert made.billed_s == 5


def test_the_first_grant_is_a_minute_a_slot_or_what_is_left(lab, record):
    assert grants.reserve(claim(lab)) is None and held_s(lab) == 60
    record(lab, 20 * HOUR_S - 60 - 1)
    last = claim(lab)
    assert grants.reserve(last) is None and held_s(lab) == 61
    assert grants.reserve(claim(lab)) == Shortage.QUOTA and held_s(lab) == 61
    assert grants.note_use(last, 1.2) == Shortage.QUOTA
    assert end(last, 5.9) == 1


def test_two_gpus_are_granted_and_billed_twice_the_time(lab):
    both = claim(lab, slots=2)
    grants.reserve(both)
    assert held_s(lab) == 120
    grants.note_use(both, 2 * 50.0)
    assert held_s(lab) == 220 and running_compute_s(lab) == 100


def test_grants_grow_ahead_of_use_and_what_is_not_used_comes_back(lab):
    working = claim(lab)
    grants.reserve(working)
    for used_s in range(0, 601, 10):
        assert grants.note_use(working, float(used_s)) is None
        assert used_s + 29 <= held_s(lab) <= used_s + 61
    assert end(working, 600.9) == 600
    assert held_s(lab) == 0


def test_time_that_nobody_listened_to_is_billed_as_far_as_it_is_free(lab, record):
    unheard = claim(lab)
    grants.reserve(unheard)
    assert end(unheard, 3000.5) == 3000
    record(lab, 20 * HOUR_S - 100)
    again = claim(lab)
    grants.reserve(again)
    assert end(again, 3000.5) == 100


def test_what_a_job_takes_to_stop_is_not_billed_and_frees_what_it_held(lab):
    stopping = claim(lab)
    grants.reserve(stopping)
    grants.note_use(stopping, 12.7)
    grants.stop_granting(lab.pk, stopping.attempt_id)
    assert held_s(lab) == 12
    assert end(stopping, 130.0, was_stopped=True) == 12


@pytest.mark.requirement("BIL-09")
@pytest.mark.parametrize("capped", ["project", "run"])
def test_twenty_parallel_jobs_stay_under_a_cap(lab, record, capped):
    own = {f"{capped}_id": "mine", f"{capped}_cap_s": 100}
    record(lab, 30, **{f"{capped}_id": "mine"})
    asked = [claim(lab, **own) for _ in range(20)]
    answers = [grants.reserve(one) for one in asked]
    assert answers.count(None) == 2 and held_s(lab) == 70
    assert set(answers[2:]) == {Shortage.CAP}
    assert grants.note_use(asked[0], 60.0) == Shortage.CAP
    assert end(asked[0], 61.0, was_stopped=True) == 60
    record(lab, 60, **{f"{capped}_id": "mine"})
    assert end(asked[1], 500.0) == 10
    record(lab, 10, **{f"{capped}_id": "mine"})
    assert grants.reserve(claim(lab, **own | {f"{capped}_cap_s": 101})) is None and held_s(lab) == 1
    assert grants.reserve(claim(lab)) is None, "others of the organization go on"


def test_the_limit_of_a_plan_is_what_it_includes_and_what_the_owner_lets_it_cost(lab, record):
    given_ = plan(lab, compute_cents_an_hour=70, spending_limit_cents=1000)
    assert compute_limit(lab).limit_s == 100 * HOUR_S + 1000 * HOUR_S // 70
    record(lab, 7, at=given_.from_at - timedelta(microseconds=1))
    record(lab, 11, at=given_.from_at)
    assert used_compute_s(lab) == 11
    Organization.objects.filter(pk=lab.pk).update(state="past_due")
    lab.refresh_from_db()
    assert compute_limit(lab).limit_s == 100 * HOUR_S
    Organization.objects.filter(pk=lab.pk).update(state="active", compute_hours_max=3)
    lab.refresh_from_db()
    assert compute_limit(lab).limit_s == 3 * HOUR_S + 1000 * HOUR_S // 70


def test_at_the_very_end_of_the_trial_nothing_is_left(lab, monkeypatch):
    grants.reserve(claim(lab))
    for moment, left in ((lab.state_until - timedelta(microseconds=1), True), (lab.state_until, False)):
        monkeypatch.setattr("cryocloud.web.organizations.states.now", lambda moment=moment: moment)
        monkeypatch.setattr("cryocloud.web.metering.limits.now", lambda moment=moment: moment)
        assert bool(remaining_compute_s(lab)) == left
        assert (organizations_out_of_compute() == []) == left
        assert (grants.reserve(claim(lab)) is None) == left


def test_a_month_that_includes_less_than_what_runs_bills_no_more_than_it_includes(lab):
    plan(lab, compute_s=500)
    working = claim(lab)
    grants.reserve(working)
    grants.note_use(working, 400.0)
    plan(lab, compute_s=100, from_at=now())
    assert grants.note_use(working, 460.0) == Shortage.QUOTA
    assert end(working, 461.0, was_stopped=True) == 100


def test_grants_of_attempts_that_are_gone_come_back(lab):
    for _ in range(2):
        grants.reserve(claim(lab))
    gone, young = Reservation.unscoped.order_by("pk")
    Reservation.unscoped.filter(pk=gone.pk).update(created_at=now() - timedelta(minutes=11))
    assert grants.give_back(Reservation.unscoped.none().values("attempt_id")) == 1
    assert list(Reservation.unscoped.all()) == [young]


@pytest.mark.requirement("TRL-04")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit_s=st.integers(0, 400),
    steps=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from(["reserve", "use", "end", "stop"]),
            st.floats(0, 90, allow_nan=False),
            st.integers(1, 3),
        ),
        max_size=40,
    ),
)
def test_any_history_stays_within_the_limit_and_bills_what_was_measured(owner, limit_s, steps):
    """Six attempts of one or more slots, in an organization of their own for each history."""
    lab = Organization.objects.create(name="History", state="active")
    plan(lab, compute_s=limit_s)
    working: dict[int, tuple[grants.Claim, float, bool]] = {}
    measured_s = 0.0
    for who, act, seconds, slots in steps:
        if act == "reserve" and who not in working:
            asked = claim(lab, slots=slots)
            if grants.reserve(asked) is None:
                working[who] = (asked, 0.0, False)
        elif who in working:
            claimed, used_s, was_stopped = working[who]
            used_s += seconds * claimed.slots
            working[who] = (claimed, used_s, was_stopped)
            if act == "use" and not was_stopped:
                shortage = grants.note_use(claimed, used_s)
                left = limit_s - used(lab) - held_s(lab)
                assert (shortage is None) or left < 1
            elif act == "stop":
                grants.stop_granting(lab.pk, claimed.attempt_id)
                working[who] = (claimed, used_s, True)
            elif act == "end":
                billed_s = end(claimed, used_s, was_stopped=was_stopped)
                assert 0 <= billed_s <= math.floor(used_s)
                measured_s += used_s
                UsageRecord.unscoped.create(
                    organization=lab, attempt_id=claimed.attempt_id, job_type="ctf", wall_s=used_s, cpu_s=0.0,
                    peak_memory_bytes=0, billed_s=billed_s, ended="succeeded", started_at=now(), finished_at=now(),
                )  # fmt: skip
                del working[who]
        assert used(lab) + held_s(lab) <= limit_s
        assert used(lab) <= measured_s
        remaining_s = remaining_compute_s(lab)
        assert remaining_s is not None and 0 <= remaining_s <= limit_s


def used(organization):
    return used_compute_s(organization)


def test_a_claim_is_told_apart_by_its_attempt(lab):
    first = claim(lab)
    grants.reserve(first)
    assert end(replace(first, attempt_id="another"), 10.0) == 10, (
        "one that was never heard of is billed what is free"
    )
    assert held_s(lab) == 60
