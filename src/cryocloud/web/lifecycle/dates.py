"""The letters that belong to dates: before and after the end of a trial, and before data can no longer be fetched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.state_words import (
    date_words,
    following_of,
    meaning_of,
    moment_words,
    why_closed,
)
from cryocloud.web.organizations.states import Standing, State, standing

BEFORE_TRIAL_ENDS = (7, 3, 1)
AFTER_TRIAL = (0, 14, 23, 29)
BEFORE_RETRIEVAL_ENDS = (14, 7, 1)


@dataclass(frozen=True)
class DatedLetter:
    """A letter and the moment from which it is to be written; the key names both."""

    key: str
    due_at: datetime
    title: str
    message: str


def newest_due(organization: Organization, moment: datetime) -> DatedLetter | None:
    """Of all that have become due in the present state the last one; the others are out of date."""
    due = [one for one in dated_letters(organization, moment) if one.due_at <= moment]
    return max(due, key=lambda one: one.due_at, default=None)


def dated_letters(organization: Organization, moment: datetime) -> list[DatedLetter]:
    """Those of the state in which the organization is at that moment."""
    found = standing(organization, moment)
    if found.is_under_review:
        message = meaning_of(found)
        return [DatedLetter("review begun", organization.created_at, "The trial is under review", message)]
    if found.state == State.TRIAL and found.until:
        return _before(found, found.until, BEFORE_TRIAL_ENDS, "The trial ends on")
    if found.state == State.TRIAL_ENDED and found.until:
        return _after_trial(found, found.until)
    if found.state == State.RETRIEVAL and found.until:
        return _before(found, found.until, BEFORE_RETRIEVAL_ENDS, "Your data can be fetched until")
    if found.state == State.CLOSED:
        title = "The organization is closed"
        return [DatedLetter(_key(found, found.since, 0), found.since, title, why_closed(organization, found))]
    return []


def _before(found: Standing, end: datetime, days: tuple[int, ...], words: str) -> list[DatedLetter]:
    message = f"{meaning_of(found)}\n\n{following_of(found)}"
    moments = {day: end - timedelta(days=day) for day in days}
    return [
        DatedLetter(_key(found, end, -day), due_at, f"{words} {date_words(end)}", message)
        for day, due_at in moments.items()
        if due_at > found.since
    ]


def _after_trial(found: Standing, end: datetime) -> list[DatedLetter]:
    message = (
        f"The trial ended on {moment_words(found.since)}. {meaning_of(found)} Jobs that were at work were stopped at "
        f"their last checkpoint.\n\n{following_of(found)}"
    )
    titles = {0: "The trial has ended"}
    later = f"Your data can be fetched until {date_words(end)}"
    moments = {day: found.since + timedelta(days=day) for day in AFTER_TRIAL}
    return [
        DatedLetter(_key(found, found.since, day), due_at, titles.get(day, later), message)
        for day, due_at in moments.items()
        if due_at < end
    ]


def _key(found: Standing, around: datetime, days: int) -> str:
    return f"{found.state} {around:%Y-%m-%dT%H:%M:%S} {days:+d} d"
