"""``cryocloud pause``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from cryocloud.web.runs.services import pause_dispatch


class Command(BaseCommand):
    help = "Start no further jobs; what runs goes on, and what is ordered waits."

    def handle(self, *args: Any, **options: Any) -> None:
        pause_dispatch()
        self.stdout.write("No further jobs start until: cryocloud resume")
