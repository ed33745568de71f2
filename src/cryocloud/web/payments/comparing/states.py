"""Do payments, charges and refunds agree among themselves, and does none of them stand still?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Sum

from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.ledger import RECEIVABLE
from cryocloud.web.billing.models import Posting
from cryocloud.web.billing.money import spoken
from cryocloud.web.core.clock import now
from cryocloud.web.payments.comparing.finding import Found
from cryocloud.web.payments.models import Charge, Payment, ProviderEvent, Refund, StatementLine

# Direct debit takes eight bank days at most; a transfer that the bank was given takes two.
CHARGES_TAKE = timedelta(days=12)
REFUNDS_TAKE = timedelta(days=12)
EVENTS_TAKE = timedelta(days=1)


def payments_hold_what_was_received() -> Iterator[Found]:
    for payment in Payment.unscoped.exclude(state=Payment.State.CANCELLED).select_related("invoice"):
        booked = -_paid_cents(payment)
        if booked != payment.received_cents:
            words = (
                f"Payment of {payment.invoice.number} has received {spoken(payment.received_cents)}, booked for the "
                f"invoice are {spoken(booked)}."
            )
            yield Found("payment_received", payment.pk, words)
        if (payment.state == Payment.State.PAID) != (payment.missing_cents == 0):
            words = f"Payment of {payment.invoice.number} is {payment.state}; missing: {spoken(payment.missing_cents)}."
            yield Found("payment_state", payment.pk, words)


def nothing_is_paid_twice() -> Iterator[Found]:
    for payment in Payment.unscoped.filter(state=Payment.State.PAID).select_related("invoice"):
        too_much = -open_cents(payment.invoice)
        has_credit_note = hasattr(payment.invoice, "credit_note")
        if too_much > 0 and not has_credit_note:
            yield Found(
                "paid_twice",
                payment.pk,
                f"{payment.invoice.number} is paid with {spoken(too_much)} too much.",
            )


def nothing_is_refunded_twice() -> Iterator[Found]:
    """Those that failed count too: they are still owed."""
    given = Refund.objects.all()
    by_charge = given.exclude(charge=None).values("charge").annotate(sum=Sum("amount_cents"))
    for row in by_charge:
        charge = Charge.unscoped.get(pk=row["charge"])
        if row["sum"] > charge.amount_cents - charge.returned_cents:
            words = f"Of {charge.reference} over {spoken(charge.amount_cents)}, {spoken(row['sum'])} go back."
            yield Found("refunded_too_much", charge.pk, words)
    for line in StatementLine.objects.filter(refunds__in=given).annotate(sum=Sum("refunds__amount_cents")):
        if line.sum > line.amount_cents:
            words = f"Of a transfer of {spoken(line.amount_cents)}, {spoken(line.sum)} go back."
            yield Found("refunded_too_much", line.pk, words)


def nothing_stands_still() -> Iterator[Found]:
    moment = now()
    charges = Charge.unscoped.filter(state__in=Charge.UNDER_WAY, created_at__lt=moment - CHARGES_TAKE)
    for charge in charges:
        yield Found(
            "charge_stuck",
            charge.pk,
            f"A charge of {spoken(charge.amount_cents)} comes to no end.",
        )
    refunds = Refund.objects.filter(state__in=Refund.UNDER_WAY, created_at__lt=moment - REFUNDS_TAKE)
    for refund in refunds:
        yield Found(
            "refund_stuck", refund.pk, f"A refund of {spoken(refund.amount_cents)} was not carried out yet."
        )
    events = ProviderEvent.objects.filter(settled_at=None, received_at__lt=moment - EVENTS_TAKE)
    for event in events:
        yield Found(
            "event_stuck",
            str(event.pk),
            f"{event.event_id} of {event.provider} was not looked up.",
        )
    for refund in Refund.objects.filter(state=Refund.State.FAILED):
        words = f"{spoken(refund.amount_cents)} could not go back: {refund.failure or 'no reason given'}."
        yield Found("refund_failed", refund.pk, words)


def _paid_cents(payment: Payment) -> int:
    keys = [f"charge:{pk}" for pk in payment.charges.values_list("pk", flat=True)]
    keys += [f"receipt:{pk}" for pk in payment.receipts.values_list("pk", flat=True)]
    rows = Posting.objects.filter(account=RECEIVABLE, entry__invoice=payment.invoice)
    taken = rows.filter(entry__key__in=keys) | rows.filter(entry__key__startswith="return:")
    taken |= rows.filter(entry__key__startswith="moved:to:")  # from an invoice that this one has replaced
    return taken.aggregate(sum=Sum("cents"))["sum"] or 0


CHECKS = (
    payments_hold_what_was_received,
    nothing_is_paid_twice,
    nothing_is_refunded_twice,
    nothing_stands_still,
)
