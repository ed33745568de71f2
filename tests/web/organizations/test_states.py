"""The clock ends trials and retrieval to the second, and there is no other way from state to state."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps

from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict
from cryocloud.web.organizations.models import Membership, Organization, StateChange, TrialTaken
from cryocloud.web.organizations.states import (
    OF_THE_CLOCK,
    WAYS,
    State,
    move,
    settle,
    standing,
    unreachable,
)

SECOND = timedelta(seconds=1)


@pytest.mark.requirement("TRL-02")
def test_a_trial_ends_to_the_second(owner):
    end = owner.organization.trial_started_at + timedelta(days=30)
    assert standing(owner.organization, end - SECOND).state == State.TRIAL
    assert standing(owner.organization, end).state == State.TRIAL_ENDED
    closed = end + timedelta(days=30)
    assert standing(owner.organization, closed - SECOND).state == State.TRIAL_ENDED
    assert standing(owner.organization, closed).state == State.CLOSED


def test_what_the_clock_did_is_written_down_under_its_own_moment(owner, monkeypatch):
    begin = owner.organization.trial_started_at
    _set(monkeypatch, begin + timedelta(days=75))
    held = settle(owner.organization.pk)
    assert (held.state, held.state_until) == (State.CLOSED, None)
    changes = list(StateChange.unscoped.order_by("at").values_list("before", "after", "at", "actor_id"))
    assert changes == [
        (State.TRIAL, State.TRIAL_ENDED, begin + timedelta(days=30), "clock"),
        (State.TRIAL_ENDED, State.CLOSED, begin + timedelta(days=60), "clock"),
    ]


@pytest.mark.parametrize("before", State, ids=str)
@pytest.mark.parametrize("after", State, ids=str)
def test_only_the_ways_that_exist_are_open(owner, before, after):
    owner.organization.state, owner.organization.state_until = before, None
    owner.organization.save()
    if after in WAYS[before]:
        assert move(owner.organization.pk, after, reason="a test", actor_id=owner.user.pk).state == after
    else:
        with pytest.raises(Conflict):
            move(owner.organization.pk, after, reason="a test", actor_id=owner.user.pk)


@pytest.mark.parametrize("state", State, ids=str)
@pytest.mark.parametrize("days", [None, -31, -30, -29, -1, 0, 1], ids=str)
def test_the_database_finds_closed_what_is_closed(owner, state, days):
    """Both ways of asking agree at each moment: the door asks one row, lists ask the database."""
    moment = now()
    until = None if days is None or state not in OF_THE_CLOCK else moment + timedelta(days=days)
    Organization.objects.filter(pk=owner.organization.pk).update(state=state, state_until=until)
    organization = Organization.objects.get(pk=owner.organization.pk)
    for shift in (-SECOND, 0 * SECOND, SECOND):
        asked = Organization.objects.filter(unreachable(moment + shift)).exists()
        assert asked is not standing(organization, moment + shift).may_read
        kept = Membership.unscoped.exclude(unreachable(moment + shift, "organization__")).exists()
        assert kept is not asked


def test_trials_of_an_older_installation_do_not_end_without_a_weeks_notice(make_member):
    step = import_module("cryocloud.web.organizations.migrations.0005_dates_of_existing_trials")
    begun = {"fresh": 2, "late": 28, "long over": 300}
    for name, days in begun.items():
        person = make_member(name=name.replace(" ", ""))
        Organization.objects.filter(pk=person.organization.pk).update(
            name=name, trial_started_at=now() - timedelta(days=days), state_until=None
        )
    closed = make_member(name="zoe").organization
    Organization.objects.filter(pk=closed.pk).update(state=State.CLOSED, state_until=None)
    TrialTaken.unscoped.all().delete()
    moment = now()
    step.give_dates(apps, None)
    step.note_trials(apps, None)
    left = {
        one.name: (one.state_until - moment).total_seconds() / 86400
        for one in Organization.objects.filter(name__in=begun)
    }
    assert left == pytest.approx({"fresh": 28, "late": 7, "long over": 7}, abs=0.01)
    read = Organization.objects.get(pk=closed.pk)
    assert (read.state, round((read.state_until - moment) / timedelta(days=1))) == (State.RETRIEVAL, 30)
    assert TrialTaken.unscoped.count() == 4


def _set(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr("cryocloud.web.organizations.states.now", lambda: moment)
