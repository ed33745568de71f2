"""Making, renaming and putting away projects."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Conflict, QuotaExceeded, Refused
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project

NAME_LENGTH_MAX = 120
DESCRIPTION_LENGTH_MAX = 4000
PROJECTS_MAX = 10_000


def create_project(*, actor: Actor, organization: Organization, name: str, description: str = "") -> Project:
    access.require_role(actor, organization.id, Role.EDITOR)
    name, description = _checked_name(name), _checked_description(description)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        present = Project.with_trash.filter(organization=organization).count()
        if present >= PROJECTS_MAX:
            raise QuotaExceeded(
                f"There are {present:,} projects, as many as one organization may have. Use one of them."
            )
        project = Project.unscoped.create(
            organization=organization, name=name, description=description, created_by_id=actor.user.pk
        )
        _audit(actor, "project.created", project)
    return project


def update_project(
    *, actor: Actor, project: Project, name: str | None = None, description: str | None = None
) -> None:
    """Change what is given."""
    access.require_role(actor, project.organization_id, Role.EDITOR)
    if name is not None:
        project.name = _checked_name(name)
    if description is not None:
        project.description = _checked_description(description)
    with transaction.atomic():
        project.save(update_fields=["name", "description"])
        _audit(actor, "project.updated", project)


def archive_project(*, actor: Actor, project: Project) -> None:
    """Take it out of the lists. Nothing is deleted, and nothing new starts in it."""
    access.require_role(actor, project.organization_id, Role.ADMIN)
    if project.archived_at is not None:
        raise Conflict(f"The project “{project.name}” is archived already.")
    _set_archived(actor, project, is_archived=True)


def restore_project(*, actor: Actor, project: Project) -> None:
    access.require_role(actor, project.organization_id, Role.ADMIN)
    if project.archived_at is None:
        raise Conflict(f"The project “{project.name}” is not archived.")
    _set_archived(actor, project, is_archived=False)


def _set_archived(actor: Actor, project: Project, *, is_archived: bool) -> None:
    project.archived_at = now() if is_archived else None
    with transaction.atomic():
        project.save(update_fields=["archived_at"])
        _audit(actor, "project.archived" if is_archived else "project.restored", project)


def _checked_name(name: str) -> str:
    text = " ".join(name.split())
    if not text:
        raise Refused("name: is empty; give the project a name", {"name": "Give the project a name."})
    if len(text) > NAME_LENGTH_MAX:
        raise Refused(
            f"name: {len(text)} characters are too many; at most {NAME_LENGTH_MAX}",
            {"name": f"{len(text)} characters are too many; at most {NAME_LENGTH_MAX}."},
        )
    return _printable("name", text)


def _checked_description(description: str) -> str:
    text = description.strip()
    if len(text) > DESCRIPTION_LENGTH_MAX:
        raise Refused(
            f"description: {len(text)} characters are too many; at most {DESCRIPTION_LENGTH_MAX}",
            {"description": f"{len(text)} characters are too many; at most {DESCRIPTION_LENGTH_MAX}."},
        )
    return _printable("description", text)


def _printable(field: str, text: str) -> str:
    if any(not (letter.isprintable() or letter in "\r\n\t") for letter in text):
        raise Refused(
            f"{field}: holds control characters; type it again",
            {field: "Holds control characters; type it again."},
        )
    return text


def _audit(actor: Actor, verb: str, project: Project, **detail: Any) -> None:
    record_event(
        verb,
        organization_id=project.organization_id,
        target=project,
        actor_id=actor.user.pk,
        via=actor.via,
        **detail,
    )
