"""The clock ends trials and retrieval to the second, and there is no other way from state to state."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from cryocloud.web.core.errors import Conflict
from cryocloud.web.organizations.models import StateChange
from cryocloud.web.organizations.states import WAYS, State, move, settle, standing

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


def _set(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr("cryocloud.web.organizations.states.now", lambda: moment)
