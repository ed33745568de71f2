"""What owners are written about payments: reminders of transfers, and tries that failed."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryocloud.web.billing.money import spoken
from cryocloud.web.core.clock import now
from cryocloud.web.core.days import ZONE
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.payments.models import Charge, Payment, ProviderName
from cryocloud.web.payments.providers.manual import instructions
from cryocloud.web.terms import billing

PAGE = "/organization/payments/"


def remind() -> None:
    """Of each transfer that is overdue, the latest reminder whose day has come; once each."""
    terms = billing()
    if terms is None:
        return
    awaited = Payment.unscoped.filter(state__in=Payment.LIVE, provider=ProviderName.MANUAL)
    first = timedelta(days=min(terms.reminder_days))
    for payment in awaited.filter(invoice__due_at__lte=now() - first).select_related(
        "invoice", "organization"
    ):
        days = [day for day in terms.reminder_days if payment.invoice.due_at + timedelta(days=day) <= now()]
        _write_reminder(payment, max(days))


def _write_reminder(payment: Payment, day: int) -> None:
    how = instructions(payment)
    write_to_owners(
        payment.organization,
        key=f"reminder:{payment.pk}:{day}",
        title=f"Reminder: invoice {payment.invoice.number} is not paid yet",
        message=(
            f"{spoken(how.amount_cents)} of invoice {payment.invoice.number} were due on {_day(how.due_at)}. Please "
            f"transfer them to {how.name}, IBAN {how.iban_words}, with the reference {how.reference_words}. If you "
            "have paid in the last days, there is nothing to do."
        ),
        path=PAGE,
    )


def write_failure(payment: Payment, charge: Charge) -> None:
    if payment.next_try_at is not None:
        follows = (
            f"We try again on {_day(payment.next_try_at)}; you can also pay now on the page of payments."
        )
    else:
        follows = "It is not tried again by itself. Please pay on the page of payments."
    write_to_owners(
        payment.organization,
        key=f"failed:{charge.pk}:{charge.returned_cents}",
        title=f"Invoice {payment.invoice.number} could not be charged",
        message=f"{spoken(payment.missing_cents)}: {payment.failure or 'the payment was declined'} {follows}",
        path=PAGE,
    )


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(ZONE):%-d %B %Y}"
