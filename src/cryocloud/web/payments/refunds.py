"""Money that goes back: ordered once, booked as owed at once, carried out by the provider or by a file for the bank."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from django.db import transaction
from django.db.models import Sum
from django_tasks import task

from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.core.tasks import CALLING
from cryocloud.web.organizations.states import CLOCK
from cryocloud.web.payments.alarms import raise_alarm
from cryocloud.web.payments.booking import book_refund_executed, book_refund_ordered
from cryocloud.web.payments.models import Charge, Payment, ProviderName, Refund, StatementLine
from cryocloud.web.payments.providers import online
from cryocloud.web.payments.providers.base import Outcome, ProviderDown, Told
from cryocloud.web.terms import CURRENCY

ASK_AGAIN = timedelta(minutes=10)


def order_refund(
    key: str,
    *,
    payment: Payment | None,
    amount_cents: int,
    charge: Charge | None = None,
    line: StatementLine | None = None,
    is_surplus: bool = False,
    actor_id: str = CLOCK,
) -> Refund:
    """In the transaction of its reason; the same key twice is one refund. It goes back the way the money came."""
    known = Refund.objects.filter(key=key).first()
    if known is not None:
        return known
    refund = Refund.objects.create(
        key=key,
        organization_id=payment.organization_id if payment else None,
        payment=payment,
        charge=charge,
        line=line,
        provider=charge.provider if charge else ProviderName.MANUAL,
        amount_cents=amount_cents,
        is_surplus=is_surplus,
        name=line.name if line else "",
        iban=line.iban if line else "",
        bic=line.bic if line else "",
    )
    book_refund_ordered(refund)
    record_event(
        "refund.ordered",
        organization_id=refund.organization_id or "",
        target=refund,
        actor_id=actor_id,
        via=CLOCK if actor_id == CLOCK else "session",
        amount_cents=amount_cents,
    )
    if charge:
        carry_out_refund.enqueue(refund.pk)
    return refund


@transaction.atomic
def refund_payments(payments: list[Payment], key: str) -> list[Refund]:
    """Everything that has paid these and has not gone back yet."""
    refunds: list[Refund] = []
    for payment in payments:
        held = Payment.unscoped.select_for_update(no_key=True).get(pk=payment.pk)
        for charge in held.charges.filter(state=Charge.State.PAID):
            left_cents = charge.amount_cents - charge.returned_cents - refunded_cents(charge.refunds)
            if left_cents > 0:
                refunds.append(
                    order_refund(f"{key}:{charge.pk}", payment=held, charge=charge, amount_cents=left_cents)
                )
        for receipt in held.receipts.select_related("line"):
            order_key = f"{key}:{receipt.pk}"
            gone = Refund.objects.filter(payment=held, line=receipt.line, is_surplus=False)
            left_cents = receipt.amount_cents - refunded_cents(gone.exclude(key=order_key))
            if left_cents > 0:
                refunds.append(
                    order_refund(order_key, payment=held, line=receipt.line, amount_cents=left_cents)
                )
    return refunds


@task(priority=CALLING)
def carry_out_refund(refund_id: str) -> None:
    """A provider that is down is asked again by the clock, for as long as it takes."""
    with suppress(ProviderDown):
        carry_out(refund_id)


def carry_out(refund_id: str) -> None:
    """Have the provider send it back: asked first whether it has done so, since an earlier order may have arrived."""
    refund = Refund.objects.select_related("charge").get(pk=refund_id)
    if refund.state not in Refund.UNDER_WAY or refund.charge is None:
        return
    provider = online(refund.provider)
    try:
        told = provider.look_up_refund(refund)
        if told is None:
            crash_point("refund:before-provider")
            words = f"Refund of {refund.payment.invoice.number}" if refund.payment else "Refund"
            told = provider.order_refund(refund, words=words)
            crash_point("refund:after-provider")
    except ProviderDown:
        Refund.objects.filter(pk=refund_id).update(ask_at=now() + ASK_AGAIN)
        raise
    settle_refund(refund_id, told)
    crash_point("refund:after-booking")


@transaction.atomic
def settle_refund(refund_id: str, told: Told) -> Refund:
    refund = Refund.objects.select_for_update(no_key=True).get(pk=refund_id)
    if (told.amount_cents, told.currency) != (refund.amount_cents, CURRENCY):
        raise_alarm(
            "refund_amount",
            refund.pk,
            f"{refund.provider} has refund {told.reference} with {told.amount_cents} cents {told.currency}, ordered "
            f"were {refund.amount_cents} cents {CURRENCY}. Nothing is booked.",
        )
        return refund
    refund.reference = told.reference
    if refund.state in Refund.UNDER_WAY:
        match told.outcome:
            case Outcome.PAID:
                executed(refund)
            case Outcome.PENDING:
                refund.state, refund.ask_at = Refund.State.PENDING, now() + ASK_AGAIN
            case Outcome.FAILED | Outcome.CANCELLED:
                refund.state, refund.failure = Refund.State.FAILED, told.failure[:200]
                raise_alarm(
                    "refund_failed",
                    refund.pk,
                    f"{refund.provider} could not carry out refund {told.reference} "
                    f"({told.failure or 'no reason given'}). Send the money back by transfer.",
                )
    refund.save()
    crash_point("refund:before-commit")
    return refund


def executed(refund: Refund) -> None:
    """Under the lock of the refund."""
    refund.state, refund.executed_at, refund.failure = Refund.State.EXECUTED, now(), ""
    book_refund_executed(refund)
    refund.save()
    record_event("refund.executed", organization_id=refund.organization_id or "", target=refund, via=CLOCK)


def refunded_cents(refunds: object) -> int:
    """Of a charge or a line, what goes back already; what failed is still owed, and sent another way."""
    rows = Refund.objects.filter(pk__in=refunds.values("pk"))  # type: ignore[attr-defined]
    return rows.aggregate(sum=Sum("amount_cents"))["sum"] or 0
