"""``cryocloud resume``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from cryocloud.web.runs.services import resume_dispatch


class Command(BaseCommand):
    help = "Start jobs again after a pause."

    def handle(self, *args: Any, **options: Any) -> None:
        resume_dispatch()
        self.stdout.write("Jobs start again.")
