"""``cryocloud backup DIR``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from cryocloud.web.audit.services import record_event
from cryocloud.web.core.ids import new_id
from cryocloud.web.operations.backup import back_up
from cryocloud.web.operations.history import BACKUP_FAILED, BACKUP_MADE
from cryocloud.web.operations.manifest import BackupError


@dataclass(frozen=True)
class Backup:
    """What an audit event is about."""

    pk: str = field(default_factory=new_id)


class Command(BaseCommand):
    help = "Copy database and files to a new folder, with checksums; the platform may run meanwhile."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="new or empty folder outside the home")

    def handle(self, *args: Any, **options: Any) -> None:
        home, folder = settings.CONFIGURATION.home, options["folder"].absolute()
        if not settings.CONFIGURATION.database_file.exists():
            raise CommandError(f"{home} holds no platform; name its folder with --home")
        try:
            entries = back_up(home, settings.CONFIGURATION.database_file, folder)
        except BackupError as error:
            self._record(BACKUP_FAILED, folder, reason=str(error))
            raise CommandError(str(error)) from None
        size_bytes = sum(entry.size_bytes for entry in entries if not entry.same_as)
        self._record(BACKUP_MADE, folder, files=len(entries), bytes=size_bytes)
        self.stdout.write(f"{len(entries)} files, {size_bytes / 1e6:,.1f} MB, verified: {folder}")

    def _record(self, verb: str, folder: Path, **facts: Any) -> None:
        """For the operator's page. What the disk holds counts more than what the database says about it."""
        try:
            record_event(verb, organization_id="", target=Backup(), folder=str(folder), **facts)
        except DatabaseError as error:
            self.stderr.write(f"The operator's page will not know of this backup: {error}")
