"""Drafts of edits by hand, and the edits that a job is given."""

from __future__ import annotations

import json
import math
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from cryocloud.catalog.edits import EDITS, Edits, fault_of
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import require_room
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.edits.models import Draft, KeptEdits
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project

CONTENT_BYTES_MAX = 2_000_000
SETTINGS_MAX = 40
SETTING_LENGTH_MAX = 200


class StaleDraft(Conflict):
    """Somebody, mostly the same person in another tab, has saved since; ``draft`` is what they saved."""

    def __init__(self, draft: Draft) -> None:
        super().__init__("This was changed in another tab or on another device since you opened it here.")
        self.draft = draft


def draft_of(*, actor: Actor, source_id: str, kind: str) -> Draft:
    """The person's own draft of a result that they came to through the door; an empty one if there is none."""
    _require_kind(kind)
    own = {"user_id": actor.user.pk, "source_id": source_id, "kind": kind}
    return access.visible(actor, Draft).filter(**own).first() or Draft(**own)


def save_draft(
    *, actor: Actor, project: Project, source_id: str, kind: str, version: int, content: Any
) -> Draft:
    """Save the next version after ``version``; no audit event, since this happens at each stroke."""
    access.require_role(actor, project.organization_id, Role.EDITOR)
    _require_kind(kind)
    require_room()
    checked = checked_content(kind, content)
    with transaction.atomic():
        draft, _ = Draft.unscoped.select_for_update(no_key=True).get_or_create(
            user_id=actor.user.pk,
            source_id=source_id,
            kind=kind,
            defaults={"organization_id": project.organization_id, "project": project},
        )
        if draft.version != version:
            raise StaleDraft(draft)
        draft.version, draft.content, draft.changed_at = version + 1, checked, now()
        draft.save(update_fields=["version", "content", "changed_at"])
    return draft


def checked_content(kind: str, content: Any) -> dict[str, Any]:
    """Edits that the catalog knows and a few plain settings, or ``Refused`` with the fault and its place."""
    if not isinstance(content, dict) or not content.keys() <= {"edits", "settings"}:
        raise Refused("A draft holds “edits” and “settings”, nothing else.")
    if len(json.dumps(content)) > CONTENT_BYTES_MAX:
        raise Refused(
            f"These edits take more than {CONTENT_BYTES_MAX / 1e6:g} MB, as much as one draft may hold. Use them for "
            "a job, and go on with its result."
        )
    return {
        "edits": checked_edits(kind, content.get("edits", {})).model_dump(mode="json"),
        "settings": _checked_settings(content.get("settings", {})),
    }


def checked_edits(kind: str, given: Any) -> Edits:
    try:
        return EDITS[kind].model_validate(given)
    except ValidationError as error:
        raise Refused(f"These edits cannot be used: {fault_of(error)}.") from None


def _checked_settings(settings: Any) -> dict[str, Any]:
    if not isinstance(settings, dict) or len(settings) > SETTINGS_MAX:
        raise Refused(f"“settings” holds at most {SETTINGS_MAX} names with a value each.")
    for name, value in settings.items():
        if not _is_storable(name):
            raise Refused("The name of a setting holds what is no text, or is too long.")
        if not _is_plain(value):
            raise Refused(f"The setting “{name[:40]}” is no plain value.")
    return dict(settings)


def _is_plain(value: Any) -> bool:
    match value:
        case None | bool():
            return True
        case int():
            return len(str(value)) <= SETTING_LENGTH_MAX
        case float():
            return math.isfinite(value)
        case str():
            return _is_storable(value)
    return False


def _is_storable(text: str) -> bool:
    """Databases hold neither NUL nor halves of surrogate pairs, which JSON can spell."""
    is_text = "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
    return is_text and len(text) <= SETTING_LENGTH_MAX


def keep_edits(*, actor: Actor, project: Project, kind: str, edits: Edits) -> KeptEdits:
    """What an order shall read, whatever becomes of the draft."""
    access.require_role(actor, project.organization_id, Role.EDITOR)
    with transaction.atomic():
        kept = KeptEdits.unscoped.create(
            organization_id=project.organization_id,
            project=project,
            kind=kind,
            content=edits.model_dump(mode="json"),
            created_by_id=actor.user.pk,
        )
        record_event(
            "edits.kept",
            organization_id=project.organization_id,
            target=kept,
            actor_id=actor.user.pk,
            via=actor.via,
            kind=kind,
            summary=edits.summary(),
        )
    return kept


def summary_of(kept: KeptEdits) -> str:
    """What was done, in a few words."""
    return EDITS[kept.kind].model_validate(kept.content).summary() or "nothing"


def _require_kind(kind: str) -> None:
    if kind not in EDITS:
        raise NotFound
