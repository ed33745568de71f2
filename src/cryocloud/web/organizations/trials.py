"""One trial a person: whoever seems to begin another one gets it after somebody has looked; no rule refuses it."""

from __future__ import annotations

from django.db.models import Q

from cryocloud.web.accounts.models import User
from cryocloud.web.configuration import configuration
from cryocloud.web.organizations.mailboxes import mailbox_hash
from cryocloud.web.organizations.models import Organization, TrialReview, TrialTaken

SUSPICION_LENGTH = 500


def begins_with_trial(person: User) -> bool:
    """Who runs the platform needs no trial of it, unless the settings say otherwise."""
    return configuration().trials == "all" or (configuration().has_trials and not person.is_operator)


def suspicion_about(person: User) -> str:
    """Why a trial of this person has to be looked at first, in words for staff; empty if there is no reason."""
    if person.is_operator:
        return ""
    taken = TrialTaken.unscoped.filter(Q(person_id=person.pk) | Q(mailbox_hash=mailbox_hash(person.email)))
    earlier = taken.select_related("organization").order_by("created_at").first()
    if earlier is None:
        return ""
    who = "The same person" if earlier.person_id == person.pk else "Somebody with the same mailbox"
    return (
        f"{who} has had a trial with “{earlier.organization.name}” since {earlier.created_at:%Y-%m-%d}, "
        f"{taken.count()} in all."
    )[:SUSPICION_LENGTH]


def note_trial(organization: Organization, person: User, suspicion: str) -> None:
    """In the transaction that makes the organization."""
    TrialTaken.unscoped.create(
        organization=organization, person_id=person.pk, mailbox_hash=mailbox_hash(person.email)
    )
    if suspicion:
        TrialReview.unscoped.create(organization=organization, asked_by_id=person.pk, suspicion=suspicion)
