"""A trial walked by the clock: what holds, what is written, and when, one second before and after each boundary."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.lifecycle import purging
from cryocloud.web.lifecycle.tasks import keep_dates
from cryocloud.web.organizations.models import Organization, StateChange
from cryocloud.web.organizations.states import State, move, prolong
from web.lifecycle.conftest import send_mails

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


class Walk:
    """The clock of an organization, told in days since its beginning."""

    def __init__(self, clock, organization, begin):
        self.clock, self.organization, self.begin = clock, organization, begin

    def to(self, day, shift=timedelta(0)):
        """The subjects of mails that came due by then."""
        self.clock.set(self.begin + timedelta(days=day) + shift)
        keep_dates()
        send_mails()
        subjects = [one.subject.removesuffix(": Lab of ada") for one in mail.outbox]
        mail.outbox.clear()
        return subjects

    @property
    def state(self):
        return Organization.objects.get(pk=self.organization.pk).state


@pytest.fixture
def walk(ada, clock):
    return Walk(clock, ada.organization, ada.organization.trial_started_at)


def day_of(moment):
    return f"{moment.day} {moment:%B %Y}"


@pytest.mark.requirement("TRL-08")
def test_each_letter_of_a_trial_comes_at_its_second_and_once(walk):
    ends, fetched = (f"The trial ends on {day_of(walk.begin + 30 * DAY)}", day_of(walk.begin + 60 * DAY))
    until = f"Your data can be fetched until {fetched}"
    expected = {23: ends, 27: ends, 29: ends, 30: "The trial has ended", 44: until, 53: until, 59: until}
    expected[60] = "The organization is closed"
    assert walk.to(0, SECOND) == []
    for day, subject in expected.items():
        assert walk.to(day, -2 * SECOND) == [], f"too early on day {day}"
        assert walk.to(day) == [subject]
        keep_dates()
        assert walk.to(day, SECOND) == []
    assert walk.state == State.CLOSED


def test_the_letters_say_what_holds_until_when_and_how_to_go_on(walk, ada):
    walk.clock.set(walk.begin + 30 * DAY)
    keep_dates()
    send_mails()
    (sent,) = mail.outbox
    assert "can be seen, downloaded and deleted; nothing can be added or computed" in sent.body
    assert f"{day_of(walk.begin + 60 * DAY)}, {walk.begin:%H:%M} UTC the organization is closed" in sent.body
    assert f"To go on, write to {configuration().contact_words}." in sent.body
    assert f"{configuration().address}/organization/\n" in sent.body


def test_after_a_long_standstill_only_the_newest_letter_is_sent(walk):
    assert walk.to(29.5) == [f"The trial ends on {day_of(walk.begin + 30 * DAY)}"]
    assert walk.to(58) == [f"Your data can be fetched until {day_of(walk.begin + 60 * DAY)}"]
    assert walk.to(59) != []
    assert walk.to(200) == ["The organization is closed"]
    assert walk.to(400) == []
    changes = StateChange.unscoped.filter(organization=walk.organization).order_by("at")
    assert [(one.after, one.at) for one in changes] == [
        (State.TRIAL_ENDED, walk.begin + 30 * DAY),
        (State.CLOSED, walk.begin + 60 * DAY),
    ]


def test_a_trial_that_is_prolonged_gets_its_letters_again(walk, ada):
    until = walk.begin + 50 * DAY
    walk.to(29)
    prolong(walk.organization.pk, until, reason="The microscope was down.", actor_id=ada.user.pk)
    assert walk.to(42) == []
    assert walk.to(43) == [f"The trial ends on {day_of(until)}"]
    assert (walk.to(50), walk.state) == (["The trial has ended"], State.TRIAL_ENDED)


def test_the_time_to_fetch_data_after_a_plan_is_told_before_its_end(walk, ada):
    for state in (State.ACTIVE, State.ENDED, State.RETRIEVAL):
        move(walk.organization.pk, state, reason="a test", actor_id=ada.user.pk, moment=walk.begin)
    told = f"Your data can be fetched until {day_of(walk.begin + 30 * DAY)}"
    assert walk.to(16, -2 * SECOND) == []
    assert [walk.to(day) for day in (16, 23, 29, 30)] == [
        [told],
        [told],
        [told],
        ["The organization is closed"],
    ]


def test_nothing_is_purged_before_somebody_erases_and_then_after_a_day(walk, monkeypatch):
    assert walk.to(62) == ["The organization is closed"]
    assert walk.state == State.CLOSED
    erased = []
    monkeypatch.setattr(purging, "_erasers", [erased.append])
    keep_dates()
    assert (erased, walk.state) == ([walk.organization.pk], State.PURGED)


def test_the_day_between_closing_and_purging_is_kept(walk, monkeypatch):
    erased = []
    monkeypatch.setattr(purging, "_erasers", [erased.append])
    walk.to(61, -2 * SECOND)
    assert (erased, walk.state) == ([], State.CLOSED)
    walk.to(61)
    assert walk.state == State.PURGED


def test_an_eraser_that_fails_is_asked_again_and_holds_nobody_up(walk, monkeypatch, make_person):
    other = make_person(name="bea")
    erased = []

    def erase(organization_id):
        if organization_id == walk.organization.pk and len(erased) < 2:
            raise OSError("the disk is away")
        erased.append(organization_id)

    monkeypatch.setattr(purging, "_erasers", [erase])
    walk.to(62)
    assert (erased, walk.state) == ([other.organization.pk], State.CLOSED)
    erased.append("")
    keep_dates()
    assert walk.state == State.PURGED
    assert now() > walk.begin
