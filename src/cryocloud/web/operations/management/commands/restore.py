"""``cryocloud restore DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.operations.backup import restore
from cryocloud.web.operations.manifest import BackupError


class Command(BaseCommand):
    help = "Make a home from a backup; every file is checked against its checksum."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="the backup")

    def handle(self, *args: Any, **options: Any) -> None:
        home = settings.CONFIGURATION.home
        try:
            entries = restore(options["folder"].absolute(), home)
        except BackupError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{len(entries)} files, all verified: {home}. Start it: cryocloud up --home {home}")
