"""``cryocloud deactivate EMAIL``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.services import deactivate_person


class Command(BaseCommand):
    help = "Close an account: its sessions and tokens end within five seconds, what it made stays."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="address of the account")

    def handle(self, *args: Any, **options: Any) -> None:
        person = User.objects.filter(email__iexact=options["email"].strip(), is_active=True).first()
        if person is None:
            raise CommandError(
                f"{options['email']} is the address of no active account; look at its spelling"
            )
        deactivate_person(person=person)
        self.stdout.write(f"{person.email} is closed; its sessions and tokens are ended.")
