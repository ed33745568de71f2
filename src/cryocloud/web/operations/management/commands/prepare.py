"""What ``cryocloud up`` does before it starts the others: folders, tables, the first administrator's link."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from cryocloud.compute.isolation import walls
from cryocloud.web.audit.tombstones import NotReplayed
from cryocloud.web.core.disk_room import keep_ballast
from cryocloud.web.operations.database_check import NoDatabase, require_database
from cryocloud.web.operations.first_admin import offer_first_link
from cryocloud.web.operations.home import HomeIsOpen, make_home
from cryocloud.web.operations.replay import replay


class Command(BaseCommand):
    help = "Bring the home and its database up to date."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        site = settings.CONFIGURATION
        try:
            make_home(site.home)
            require_database()
            if site.sign_up_open:
                walls.require_for_strangers(site.isolation)
            standing = walls.report(site.isolation)
        except (HomeIsOpen, NoDatabase, walls.NoWalls) as error:
            raise CommandError(str(error)) from None
        # The last platform may have ended on a full disk.
        keep_ballast()
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)
        try:
            warning = replay().warning
        except NotReplayed as error:
            raise CommandError(str(error)) from None
        missing = [f"missing: {wall.name}. {wall.meaning}" for wall in standing if not wall.stands]
        warnings = [*([warning] if warning else []), *missing]
        self.stdout.write(json.dumps({"first_link": offer_first_link(), "warnings": warnings}))
