"""The one place with the words for states: pages, API, mails and refusals say the same."""

from __future__ import annotations

from datetime import datetime

from cryocloud.web import terms
from cryocloud.web.configuration import configuration
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import PURGE_AFTER, Standing, State, standing

MEANINGS = {
    State.TRIAL: "Everything works, within the limits of the trial.",
    State.TRIAL_ENDED: "Data can be seen, downloaded and deleted; nothing can be added or computed.",
    State.ACTIVE: "Everything works.",
    State.PAST_DUE: "Everything works, but nothing beyond what the plan includes, until the open invoice is paid.",
    State.ENDED: "The plan has ended.",
    State.RETRIEVAL: "Data can be seen, downloaded and deleted; nothing can be added or computed.",
    State.CLOSED: "Data cannot be reached any more.",
    State.PURGED: "Data have been erased.",
}
UNDER_REVIEW = "Trial under review"
MEANING_UNDER_REVIEW = (
    "You or somebody with your mailbox has had a trial already, so a person looks at this one first. Until then it "
    "includes no compute and no storage. You are told of the decision by mail."
)


def moment_words(moment: datetime) -> str:
    """As 4 May 2027, 10:00 UTC."""
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def date_words(moment: datetime) -> str:
    """As 4 May 2027."""
    return f"{moment.day} {moment:%B %Y}"


def name_of(found: Standing) -> str:
    """Such as “Trial ended”."""
    label = UNDER_REVIEW if found.is_under_review else str(found.state.label)
    return label[:1].upper() + label[1:]


def meaning_of(found: Standing) -> str:
    """What holds now."""
    return MEANING_UNDER_REVIEW if found.is_under_review else MEANINGS[found.state]


def following_of(found: Standing) -> str:
    """What the clock does next, and how to go on; empty where nothing comes by itself."""
    if found.state == State.CLOSED:
        due = found.since + PURGE_AFTER
        return f"The data are due to be erased from {moment_words(due)} on. Questions: {configuration().contact_words}."
    if found.until is None:
        return ""
    when = moment_words(found.until)
    if found.state == State.TRIAL:
        days = configuration().retrieval_days
        return f"The trial ends on {when}. After that, data can be seen and downloaded for {days} days. {remedy()}"
    return f"On {when} the organization is closed, and its data cannot be reached from then on. {remedy()}"


def remedy() -> str:
    """How an organization goes on."""
    if terms.billing() is not None:
        return "To go on, choose a plan: all data stay as they are."
    return f"To go on, write to {configuration().contact_words}."


def why_nothing_added(organization: Organization, found: Standing | None = None) -> str:
    """For somebody who wants to add or change something."""
    found = found or standing(organization)
    if found.is_under_review:
        return f"“{organization.name}” cannot do this yet. {MEANING_UNDER_REVIEW}"
    past = "its trial has ended" if found.state == State.TRIAL_ENDED else "its plan has ended"
    until = f" until {moment_words(found.until)}" if found.until else ""
    allowed = f"Data can be seen, downloaded and deleted{until}."
    return f"“{organization.name}” takes nothing new: {past}. {allowed} {remedy()}"


def why_closed(organization: Organization, found: Standing) -> str:
    """For somebody who wants to see something."""
    whom = configuration().contact_words
    if found.state == State.PURGED:
        return f"“{organization.name}” was closed, and its data were erased on {moment_words(found.since)}."
    return (
        f"“{organization.name}” was closed on {moment_words(found.since)}; until then it could go on with a plan. Its "
        f"data cannot be reached any more, and are due to be erased from {moment_words(found.since + PURGE_AFTER)} on. "
        f"Questions: {whom}."
    )
