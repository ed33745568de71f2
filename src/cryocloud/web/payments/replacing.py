"""Money that follows an invoice in place of another, or goes back because of one: always the way it came."""

from __future__ import annotations

from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.ledger import RECEIVABLE, book
from cryocloud.web.billing.models import Invoice
from cryocloud.web.billing.vat_checks import MOVED
from cryocloud.web.payments.holding import hold_payment
from cryocloud.web.payments.models import Charge, Payment
from cryocloud.web.payments.refunds import order_refund, refunded_cents
from cryocloud.web.payments.settling import complete


def follow_invoice(old: Invoice, new: Invoice) -> None:
    """In the transaction that replaced it. A transfer under the reference that is known still finds its way."""
    found = Payment.unscoped.filter(invoice=old).exclude(state=Payment.State.CANCELLED).first()
    if found is None:
        return
    payment = hold_payment(found.pk)
    _send_back(payment, -open_cents(old), f"replaced:{old.pk}")
    payment.invoice, payment.amount_cents = new, new.gross_cents
    payment.received_cents = new.gross_cents - open_cents(new)
    payment.save()
    if payment.is_live:
        complete(payment, 0)


def give_back(owed: Invoice, payments: list[Payment]) -> None:
    """What an invoice in favor of the customer owes, out of what they have paid, the largest payment first."""
    for found in sorted(payments, key=lambda one: -one.amount_cents):
        payment, left_cents = hold_payment(found.pk), -open_cents(owed)
        key = f"owed:{owed.pk}:{payment.pk}"
        sent_cents = _send_back(payment, left_cents, key)
        for invoice, name, cents in ((owed, "from", sent_cents), (payment.invoice, "to", -sent_cents)):
            if sent_cents:
                book(
                    f"{key}:{name}",
                    {RECEIVABLE: cents, MOVED: -cents},
                    text=f"What {owed.number} owes goes back with the payment of {payment.invoice.number}",
                    organization_id=owed.organization_id,
                    invoice=invoice,
                )


def _send_back(payment: Payment, cents: int, key: str) -> int:
    """Up to so much of a payment, what came last first; what was sent."""
    left_cents = cents
    for charge in payment.charges.filter(state=Charge.State.PAID).order_by("-settled_at"):
        kept_cents = charge.amount_cents - charge.returned_cents - refunded_cents(charge.refunds)
        part_cents = min(left_cents, kept_cents)
        if part_cents > 0:
            order_refund(f"{key}:{charge.pk}", payment=payment, charge=charge, amount_cents=part_cents)
            left_cents -= part_cents
    for receipt in payment.receipts.select_related("line").order_by("-created_at"):
        gone = payment.refunds.filter(line=receipt.line, is_surplus=False)
        part_cents = min(left_cents, receipt.amount_cents - refunded_cents(gone))
        if part_cents > 0:
            order_refund(f"{key}:{receipt.pk}", payment=payment, line=receipt.line, amount_cents=part_cents)
            left_cents -= part_cents
    return cents - left_cents
