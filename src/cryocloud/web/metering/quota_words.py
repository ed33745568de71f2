"""Why no compute is left, until when, and what to do about it, in sentences for people."""

from __future__ import annotations

from datetime import datetime

from cryocloud.web.configuration import configuration
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.metering.caps import hours_text
from cryocloud.web.metering.limits import compute_limit
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.state_words import moment_words, why_nothing_added
from cryocloud.web.organizations.states import Standing, State, standing
from cryocloud.web.terms import CURRENCY, billing


def used_up_words(organization: Organization) -> str:
    """For an organization that may use nothing more now."""
    held = standing(organization)
    if not held.may_compute:
        return why_nothing_added(organization, held)
    limit = compute_limit(organization)
    hours = hours_text(limit.included_s or 0)
    included = f"The {hours} hour{'' if hours == '1' else 's'} of compute of the"
    verb = "is" if hours == "1" else "are"
    if held.state == State.TRIAL:
        remedy = f"Results stay. To go on, {_ask('choose a plan')}."
        return f"{included} trial {verb} used up. {remedy}"
    return " ".join(
        [
            f"{included} plan {verb} used up.",
            *_of_plan(organization, held, limit.until_at),
        ]
    )


def _of_plan(organization: Organization, held: Standing, until_at: datetime | None) -> list[str]:
    given = allowance(organization)
    words = ["Results stay."]
    if until_at is not None and held.state == State.ACTIVE:
        words.append(f"New hours come on {moment_words(until_at)}.")
    if held.state == State.PAST_DUE:
        return [*words, "A payment is overdue: once it has arrived, a new month begins."]
    if given is not None and given.compute_cents_an_hour is not None:
        limit = f"{given.spending_limit_cents / 100:,.2f} {CURRENCY}"
        words.append(f"Beyond the plan, this month may cost {limit}; an owner can raise that.")
        return words
    return [*words, f"To go on, {_ask('choose a larger plan')}."]


def _ask(choice: str) -> str:
    """What to do: where plans are sold they are chosen in the settings, elsewhere people are asked."""
    if billing() is None:
        return f"write to {configuration().contact_words}"
    return f"an owner can {choice} in the settings of the organization"
