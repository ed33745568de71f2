"""The clock of organizations: it writes down what has come about, and writes to owners what is due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction

from cryocloud.web.core.clock import now
from cryocloud.web.core.periodic import every
from cryocloud.web.lifecycle.dates import newest_due
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.lifecycle.models import Letter
from cryocloud.web.lifecycle.purging import purge, purge_due
from cryocloud.web.organizations.models import Organization
from cryocloud.web.organizations.states import State, settle

WRITTEN_TO = (State.TRIAL, State.TRIAL_ENDED, State.RETRIEVAL, State.CLOSED)
PAGE = "/organization/"

_log = logging.getLogger("cryocloud.lifecycle")


@every(timedelta(minutes=1))
def keep_dates() -> None:
    due = Organization.objects.filter(state_until__lte=now()).order_by("state_until")
    for organization_id in list(due.values_list("pk", flat=True)):
        _by_itself(settle, organization_id)
    for organization_id in _waiting_for_a_letter():
        _by_itself(write_what_is_due, organization_id)
    for organization_id in purge_due():
        _by_itself(purge, organization_id)


@transaction.atomic
def write_what_is_due(organization_id: str) -> None:
    """Under the state that holds now; what came due before it and was not written is out of date."""
    held = settle(organization_id)
    letter = newest_due(held, now())
    if letter is not None:
        write_to_owners(held, key=letter.key, title=letter.title, message=letter.message, path=PAGE)


def _waiting_for_a_letter() -> list[str]:
    moment = now()
    dated = Organization.objects.filter(state__in=WRITTEN_TO)
    newest = {one.pk: letter.key for one in dated.iterator() if (letter := newest_due(one, moment))}
    written = set(Letter.unscoped.filter(key__in=set(newest.values())).values_list("organization_id", "key"))
    return [pk for pk, key in newest.items() if (pk, key) not in written]


def _by_itself(act: Callable[[str], object], organization_id: str) -> None:
    """What fails for one organization is tried again in a minute, and holds up no other."""
    try:
        act(organization_id)
    except Exception:
        _log.exception("a date could not be kept", extra={"organization": organization_id})
