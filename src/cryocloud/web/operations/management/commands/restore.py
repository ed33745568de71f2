"""``cryocloud restore DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.audit.tombstones import NotReplayed
from cryocloud.web.operations.backup import restore
from cryocloud.web.operations.database_check import NoDatabase, require_database
from cryocloud.web.operations.manifest import BackupError, removals_noted
from cryocloud.web.operations.replay import replay, take_over_removals


class Command(BaseCommand):
    help = "Make a home from a backup; every file is checked against its checksum."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="the backup")
        parser.add_argument(
            "--removals",
            type=Path,
            metavar="FILE",
            help="the list of removals (tombstones.jsonl) of the platform that was backed up; found by itself where "
            "that one's home still is",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        home = settings.CONFIGURATION.home
        try:
            require_database()
            entries = restore(options["folder"].absolute(), home)
            take_over_removals(options["removals"] or removals_noted(options["folder"]))
        except (BackupError, NoDatabase) as error:
            raise CommandError(str(error)) from None
        call_command("migrate", verbosity=0, interactive=False)
        try:
            done = replay(after_restore=True)
        except NotReplayed as error:
            raise CommandError(str(error)) from None
        if done.warning:
            self.stderr.write(done.warning)
        self.stdout.write(
            f"{done.repeated} removals that came after the backup are repeated; all sessions are ended."
        )
        self.stdout.write(f"{len(entries)} files, all verified: {home}. Start it: cryocloud up --home {home}")
