"""``python -m cryocloud.web set_clock 2027-01-31T12:00:00Z`` or ``set_clock +30d``, for testers."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.seams.test_clock import ClockRefused, present, set_clock

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = "Set the clock of this home forward, for all its processes."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("moment", help="such as 2027-01-31T12:00:00Z, or +90s, +5m, +12h, +30d")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            set_clock(_moment(options["moment"]))
        except ClockRefused as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(f"{present():%Y-%m-%d %H:%M:%S} UTC")


def _moment(text: str) -> datetime:
    if step := re.fullmatch(r"\+(\d+)([smhd])", text):
        return present() + timedelta(**{UNITS[step[2]]: int(step[1])})
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"“{text}” is no moment; write it as 2027-01-31T12:00:00Z, or as +30d.") from None
