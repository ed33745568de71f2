"""What a subscription is invoiced for, and whether its invoices are paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Min

from cryocloud.web.billing.invoicing import DraftLine, credit_invoice, issue_invoice, open_cents
from cryocloud.web.billing.models import Invoice
from cryocloud.web.data.storage import sample_storage_of
from cryocloud.web.metering.reports import storage_of, usage_of
from cryocloud.web.payments.models import Charge, Payment, ProviderName
from cryocloud.web.payments.refunds import refund_payments
from cryocloud.web.payments.replacing import give_back
from cryocloud.web.payments.services import cancel_payment, method_of, request_payment
from cryocloud.web.subscriptions.calendar import Span
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.pricing import Kept, overage_lines


def lines_of_use(held: Subscription, month: Span) -> list[DraftLine]:
    """What was used in a month beyond the plan. Hours of storage that nobody has sampled yet are sampled first."""
    sample_storage_of(held.organization)
    used = usage_of(held.organization_id, month.from_at, month.until_at)
    stored = storage_of(held.organization_id, month.from_at, month.until_at)
    return overage_lines(
        held.plan,
        month,
        billed_s=used.billed_s,
        kept=Kept(stored.byte_hours, stored.hours),
        limit_cents=held.spending_limit_cents,
        hours_by_hand=held.organization.compute_hours_max,
    )


def charge(held: Subscription, lines: Sequence[DraftLine], at: datetime, occasion: str) -> Invoice | None:
    """Invoice what fell due at a moment and ask for the money; None where it comes to nothing."""
    invoice = invoice_lines(held, lines, at, occasion)
    if invoice is None:
        return None
    if open_cents(invoice) > 0:
        by_transfer = held.provider == ProviderName.MANUAL
        request_payment(invoice, None if by_transfer else method_of(held.organization))
    elif invoice.gross_cents < 0:
        give_back(invoice, _payments_of(held))
    return invoice


def invoice_lines(
    held: Subscription, lines: Sequence[DraftLine], at: datetime, occasion: str
) -> Invoice | None:
    if sum(line.net_cents for line in lines) == 0:
        return None
    return issue_invoice(
        held.organization,
        lines,
        key=f"subscription:{held.pk}:{occasion}:{at.isoformat()}",
        due_at=at + timedelta(days=held.due_days),
        subscription_id=held.pk,
    )


def invoices_of(held: Subscription) -> list[Invoice]:
    """Without credit notes, oldest first."""
    rows = Invoice.unscoped.filter(subscription_id=held.pk, kind=Invoice.Kind.INVOICE)
    return list(rows.order_by("issued_at", "sequence"))


@dataclass(frozen=True)
class Debt:
    """An invoice, from when on it is overdue unless it was settled before, and when that was.

    ``overdue_at`` is None while a payment is under way that the customer need not do anything for. Of money that could
    not be taken, the failure itself tells; what the clock finds is the transfer that has not come.
    """

    number: str
    overdue_at: datetime | None
    settled_at: datetime | None
    is_transfer: bool

    def is_late(self, moment: datetime) -> bool:
        if self.overdue_at is None or self.overdue_at > moment:
            return False
        return self.settled_at is None or self.settled_at > moment


def debts_of(held: Subscription) -> list[Debt]:
    own = Invoice.unscoped.filter(subscription_id=held.pk, kind=Invoice.Kind.INVOICE)
    payments = Payment.unscoped.filter(invoice__subscription_id=held.pk).order_by("created_at")
    told = payments.only("invoice_id", "paid_at", "first_failed_at", "provider", "method_id")
    latest = {payment.invoice_id: payment for payment in told}
    credits = Invoice.unscoped.filter(corrects__subscription_id=held.pk)
    credited = dict(credits.values_list("corrects_id", "issued_at"))
    invoices = own.order_by("issued_at", "sequence").only("number", "due_at")
    return [_debt(invoice, latest.get(invoice.pk), credited.get(invoice.pk)) for invoice in invoices]


def _debt(invoice: Invoice, payment: Payment | None, credited_at: datetime | None) -> Debt:
    settled = [moment for moment in (payment and payment.paid_at, credited_at) if moment]
    return Debt(
        invoice.number,
        _overdue_at(invoice, payment) if payment else None,
        min(settled, default=None),
        payment is not None and payment.first_failed_at is None,
    )


def _overdue_at(invoice: Invoice, payment: Payment) -> datetime | None:
    if payment.first_failed_at is not None:
        return payment.first_failed_at
    is_charged = payment.provider != ProviderName.MANUAL and payment.method_id is not None
    return None if is_charged else invoice.due_at


def first_paid_at(held: Subscription) -> datetime | None:
    """A payment that was taken back was made all the same."""
    paid = Payment.unscoped.filter(invoice__subscription_id=held.pk, paid_at__isnull=False)
    taken_back = Charge.unscoped.filter(payment__invoice__subscription_id=held.pk, returned_cents__gt=0)
    moments = (
        paid.aggregate(first=Min("paid_at"))["first"],
        taken_back.aggregate(first=Min("settled_at"))["first"],
    )
    return min((moment for moment in moments if moment), default=None)


def may_spend_beyond(held: Subscription) -> bool:
    """More than the plan; before the first payment it could be left unpaid, but a quote is staff's word."""
    return held.quote_id is not None or first_paid_at(held) is not None


def credit_all(held: Subscription, reason: str) -> None:
    """Take back every invoice; what was still to be paid of them is to be paid no more."""
    for invoice in invoices_of(held):
        credit_invoice(invoice, key=f"subscription:{held.pk}:credit:{invoice.pk}", reason=reason)
        cancel_payment(invoice)


def give_back_all(held: Subscription) -> None:
    """What was paid for the subscription, VAT and overage included, the way it came."""
    refund_payments(_payments_of(held), f"subscription:{held.pk}")


def _payments_of(held: Subscription) -> list[Payment]:
    return list(Payment.unscoped.filter(invoice__subscription_id=held.pk).order_by("created_at"))
