"""``cryocloud backup DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.operations.backup import back_up
from cryocloud.web.operations.manifest import BackupError


class Command(BaseCommand):
    help = "Copy database and files to a new folder, with checksums; the platform may run meanwhile."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="new or empty folder outside the home")

    def handle(self, *args: Any, **options: Any) -> None:
        home, folder = settings.CONFIGURATION.home, options["folder"].absolute()
        if not settings.CONFIGURATION.database.exists():
            raise CommandError(f"{home} holds no platform; name its folder with --home")
        try:
            entries = back_up(home, settings.CONFIGURATION.database, folder)
        except BackupError as error:
            raise CommandError(str(error)) from None
        size_bytes = sum(entry.size_bytes for entry in entries if not entry.same_as)
        self.stdout.write(f"{len(entries)} files, {size_bytes / 1e6:,.1f} MB, verified: {folder}")
