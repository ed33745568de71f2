"""What an operator sees at a glance: counts and states of the whole platform, and nothing of anybody's data."""

from __future__ import annotations

import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import django
from django.db.models import Count, Min

from cryocloud import __version__
from cryocloud.compute.isolation import walls
from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.configuration import EVERYBODY, configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import Room, room
from cryocloud.web.core.models import BackgroundTask, Lease
from cryocloud.web.core.tasks import CALLING, DRAWING, MAILING, MOVING, READING, REMOVING
from cryocloud.web.data.models import Upload
from cryocloud.web.metering.models import Reconciliation
from cryocloud.web.operations.disk_use import Use, disk_use
from cryocloud.web.operations.health import PROCESSES
from cryocloud.web.operations.history import BACKUP_FAILED, BACKUP_MADE, last_backup
from cryocloud.web.operations.reconciliation import last_reconciliation
from cryocloud.web.operations.reviews import reviews
from cryocloud.web.organizations.models import Organization
from cryocloud.web.runs.models import Attempt, Job

KINDS = {
    MAILING: "mails of notices",
    CALLING: "calls of webhooks",
    READING: "reading files that arrived",
    DRAWING: "pictures of results",
    MOVING: "copies and checksums",
    REMOVING: "removals",
}
QUICK = "mails and other quick work"
PROGRAM_S = 5.0


@dataclass(frozen=True)
class Queue:
    """Work that waits: how much of it, and since when the oldest."""

    name: str
    waiting: int
    oldest_at: datetime | None


@dataclass(frozen=True)
class Process:
    """One of the platform's processes, and until when its lease says that it lives."""

    name: str
    lives: bool
    lease_until: datetime | None


@dataclass(frozen=True)
class OpenFolder:
    """A folder of the server and who may import from it."""

    path: str
    is_there: bool
    organizations: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """All figures of the operator's page."""

    walls: list[walls.Wall]
    versions: dict[str, str]
    room: Room
    queues: list[Queue]
    processes: list[Process]
    folders: list[OpenFolder]
    attempts_open: int
    slots: int
    uploads_open: int
    tasks_failed: int
    people: int
    organizations: int
    reviews_open: int
    uses: list[Use]
    backup_made: AuditEvent | None
    backup_failed: AuditEvent | None
    reconciliation: Reconciliation | None

    @property
    def is_open_to_jobs(self) -> bool:
        """Whether jobs run without any walls."""
        return not self.walls[0].stands


def overview() -> Overview:
    settings = configuration()
    made, failed = last_backup(BACKUP_MADE), last_backup(BACKUP_FAILED)
    return Overview(
        walls=_walls(settings.isolation),
        versions=_versions(),
        room=room(),
        queues=list(_queues()),
        processes=list(_processes()),
        folders=list(_folders()),
        attempts_open=Attempt.unscoped.filter(state__in=Attempt.OPEN).count(),
        slots=settings.slots,
        uploads_open=Upload.unscoped.filter(state=Upload.State.OPEN).count(),
        tasks_failed=BackgroundTask.objects.filter(state=BackgroundTask.State.FAILED).count(),
        people=User.objects.count(),
        organizations=Organization.objects.count(),
        reviews_open=reviews(is_open=True).count(),
        uses=disk_use(),
        backup_made=made,
        backup_failed=failed if failed and (made is None or failed.pk > made.pk) else None,
        reconciliation=last_reconciliation(),
    )


def _walls(wish: str) -> list[walls.Wall]:
    try:
        return walls.report(wish)
    except walls.NoWalls as error:
        return [walls.Wall("isolation of jobs", False, str(error))]


def _versions() -> dict[str, str]:
    return {
        "CryoCloud": __version__,
        "Python": platform.python_version(),
        "Django": django.get_version(),
        "SQLite": sqlite3.sqlite_version,
        "Linux": platform.release(),
        "bubblewrap": _bubblewrap_version(),
    }


def _bubblewrap_version() -> str:
    program = shutil.which("bwrap")
    if program is None:
        return "not installed"
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True, timeout=PROGRAM_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run: {error}"
    return said.stdout.removeprefix("bubblewrap").strip()


def _queues() -> Iterator[Queue]:
    jobs = Job.unscoped.filter(state=Job.State.QUEUED).aggregate(n=Count("pk"), oldest=Min("created_at"))
    yield Queue("jobs", jobs["n"], jobs["oldest"])
    ready = BackgroundTask.objects.filter(state=BackgroundTask.State.READY)
    for priority, name in KINDS.items():
        found = ready.filter(priority=priority).aggregate(n=Count("pk"), oldest=Min("created_at"))
        yield Queue(name, found["n"], found["oldest"])
    rest = ready.exclude(priority__in=KINDS).aggregate(n=Count("pk"), oldest=Min("created_at"))
    yield Queue(QUICK, rest["n"], rest["oldest"])


def _processes() -> Iterator[Process]:
    yield Process("serve", True, None)
    leases = dict(Lease.objects.filter(name__in=PROCESSES).values_list("name", "expires_at"))
    for name in PROCESSES:
        until = leases.get(name)
        yield Process(name, until is not None and until > now(), until)


def _folders() -> Iterator[OpenFolder]:
    for folder in configuration().server_folders:
        if EVERYBODY in folder.organization_ids:
            names: tuple[str, ...] = ("every organization",)
        else:
            known = Organization.objects.in_bulk(list(folder.organization_ids))
            names = tuple(
                f"{known[one].name} ({one})" if one in known else f"unknown organization {one}"
                for one in sorted(folder.organization_ids)
            )
        yield OpenFolder(str(folder.path), folder.path.is_dir(), names)
