"""Each day: ledger, invoices, bank and providers are compared, and whoever runs the platform hears of what is new."""

from __future__ import annotations

import logging
from datetime import datetime

from django.core.mail import EmailMessage
from django_tasks import task

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import User
from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.payments.alarms import raise_alarm
from cryocloud.web.payments.comparing import books, states
from cryocloud.web.payments.comparing.finding import Found
from cryocloud.web.payments.comparing.providers import differences_with
from cryocloud.web.payments.models import Comparison, Difference, ProviderName
from cryocloud.web.payments.providers import offered
from cryocloud.web.payments.providers.base import ProviderDown
from cryocloud.web.payments.staff import require_staff

MAILED = 50

_log = logging.getLogger("cryocloud.payments")


def reconcile() -> Comparison:
    """Raise what is found, and take back what is gone; what a provider that is down would tell stays as it is."""
    began_at = now()
    found: list[Found] = []
    is_complete = True
    for name in offered():
        if name == ProviderName.MANUAL:
            continue
        try:
            found += list(differences_with(name))
        except ProviderDown as down:
            is_complete = False
            found.append(Found("provider_down", name, f"{name.label} could not be compared: {down}."))
    for check in (*books.CHECKS, *states.CHECKS):
        found += list(check())
    new = [one for one in found if raise_alarm(one.kind, one.subject, one.words)]
    if is_complete:
        Difference.objects.filter(gone_at=None, seen_at__lt=began_at).update(gone_at=now())
    if new:
        tell_staff.enqueue([one.words for one in new[:MAILED]], len(new))
    return Comparison.objects.create(differences=len(found), new=len(new))


@task()
def reconcile_in_the_background() -> None:
    reconcile()


def reconcile_now(*, actor: Actor) -> None:
    require_staff(actor)
    reconcile_in_the_background.enqueue()


def last_reconciled_at() -> datetime | None:
    last = Comparison.objects.order_by("-ended_at").first()
    return last.ended_at if last else None


@task()
def tell_staff(sentences: list[str], count: int) -> None:
    """One mail to all operators."""
    addresses = list(User.objects.filter(is_operator=True, is_active=True).values_list("email", flat=True))
    more = f"\n… and {count - len(sentences)} more." if count > len(sentences) else ""
    listed = "\n".join(f"- {one}" for one in sentences)
    body = (
        f"Ledger, invoices, bank and payment providers were compared. New since the last time:\n\n{listed}{more}\n\n"
        f"{configuration().address}/operator/payments/\n"
    )
    if addresses:
        EmailMessage(
            f"Money: {count} new difference{'' if count == 1 else 's'}", body, None, addresses
        ).send()
