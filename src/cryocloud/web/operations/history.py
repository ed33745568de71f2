"""The audit log of the whole platform, for operators. Names of tenants' data do not leave it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils.timezone import make_aware

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.organizations.models import Organization

BACKUP_MADE, BACKUP_FAILED = "backup.made", "backup.failed"
SHOWN = (
    "reason", "changes", "before", "after", "role", "scope", "days", "factor", "kind", "person", "files", "bytes",
    "size_bytes", "folder", "job_type", "workflow",
)  # fmt: skip


@dataclass(frozen=True)
class Told:
    """An event with the names that belong to its ids today."""

    event: AuditEvent
    actor: User | None
    target: User | None
    organization: Organization | None

    @property
    def detail(self) -> str:
        return "; ".join(
            f"{name}: {_text(self.event.detail[name])}" for name in SHOWN if name in self.event.detail
        )


@dataclass(frozen=True)
class Wanted:
    """What is looked for; empty finds all."""

    verb: str = ""
    person: str = ""
    organization: str = ""
    since: date | None = None
    until: date | None = None


def events(wanted: Wanted) -> QuerySet[AuditEvent]:
    """Newest first. A person is meant by id or by a part of name or address, an organization by id or part of name."""
    rows = AuditEvent.objects.order_by("-pk")
    if wanted.verb:
        rows = rows.filter(verb=wanted.verb)
    if wanted.person:
        people = User.objects.filter(email__icontains=wanted.person) | User.objects.filter(
            name__icontains=wanted.person
        )
        rows = rows.filter(actor_id__in=[wanted.person, *people.values_list("pk", flat=True)[:500]])
    if wanted.organization:
        named = Organization.objects.filter(name__icontains=wanted.organization)
        keys = [wanted.organization, *named.values_list("pk", flat=True)[:500]]
        rows = rows.filter(organization_id__in=keys)
    if wanted.since:
        rows = rows.filter(created_at__gte=_start_of(wanted.since))
    if wanted.until and wanted.until < date.max:
        rows = rows.filter(created_at__lt=_start_of(wanted.until + timedelta(days=1)))
    return rows


def verbs() -> list[str]:
    return sorted(AuditEvent.objects.order_by().values_list("verb", flat=True).distinct())


def told(rows: list[AuditEvent]) -> list[Told]:
    people = User.objects.in_bulk([key for one in rows for key in (one.actor_id, one.object_id)])
    organizations = Organization.objects.in_bulk([one.organization_id for one in rows])
    return [
        Told(
            one,
            people.get(one.actor_id),
            people.get(one.object_id) if one.object_type == "User" else None,
            organizations.get(one.organization_id),
        )
        for one in rows
    ]


def last_backup(verb: str) -> AuditEvent | None:
    return AuditEvent.objects.filter(verb=verb).order_by("-pk").first()


def _start_of(day: date) -> datetime:
    return make_aware(datetime.combine(day, time()))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(pair[0])} → {_text(pair[1])}" for name, pair in value.items())
    return "as the plan" if value is None else str(value)
