"""What a subscription is invoiced for, and whether its invoices are paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryocloud.web.billing.invoicing import DraftLine, issue_invoice, open_cents
from cryocloud.web.billing.models import Invoice
from cryocloud.web.metering.reports import storage_of, usage_of
from cryocloud.web.payments.models import Payment, ProviderName
from cryocloud.web.payments.services import method_of, payment_of, request_payment
from cryocloud.web.subscriptions.calendar import Span
from cryocloud.web.subscriptions.models import Subscription
from cryocloud.web.subscriptions.pricing import Kept, overage_lines


def lines_of_use(held: Subscription, month: Span) -> list[DraftLine]:
    """What was used in a month beyond the plan."""
    used = usage_of(held.organization_id, month.from_at, month.until_at)
    stored = storage_of(held.organization_id, month.from_at, month.until_at)
    return overage_lines(
        held.plan,
        month,
        billed_s=used.billed_s,
        kept=Kept(stored.byte_hours, stored.hours),
        limit_cents=held.spending_limit_cents,
    )


def charge(held: Subscription, lines: Sequence[DraftLine], at: datetime, occasion: str) -> Invoice | None:
    """Invoice what fell due at a moment, and ask for the money; None where it comes to nothing."""
    if sum(line.net_cents for line in lines) == 0:
        return None
    invoice = issue_invoice(
        held.organization,
        lines,
        key=f"subscription:{held.pk}:{occasion}:{at.isoformat()}",
        due_at=at + timedelta(days=held.due_days),
        subscription_id=held.pk,
    )
    if open_cents(invoice) > 0:
        by_transfer = held.provider == ProviderName.MANUAL
        request_payment(invoice, None if by_transfer else method_of(held.organization))
    return invoice


def invoices_of(held: Subscription) -> list[Invoice]:
    """Without credit notes, oldest first."""
    rows = Invoice.unscoped.filter(subscription_id=held.pk, kind=Invoice.Kind.INVOICE)
    return list(rows.order_by("issued_at", "sequence"))


@dataclass(frozen=True)
class Debt:
    """An invoice: from when on it is overdue unless it was settled before (None: not while a payment is under way)."""

    invoice: Invoice
    overdue_at: datetime | None
    settled_at: datetime | None

    @property
    def was_late(self) -> bool:
        if self.overdue_at is None:
            return False
        return self.settled_at is None or self.settled_at >= self.overdue_at


def debts_of(held: Subscription) -> list[Debt]:
    return [_debt(invoice) for invoice in invoices_of(held)]


def _debt(invoice: Invoice) -> Debt:
    payment = payment_of(invoice)
    credit = Invoice.unscoped.filter(corrects=invoice).first()
    if payment is None or credit is not None:
        return Debt(invoice, None, credit.issued_at if credit else None)
    is_paid = payment.state == Payment.State.PAID
    return Debt(invoice, _overdue_at(payment), payment.paid_at if is_paid else None)


def _overdue_at(payment: Payment) -> datetime | None:
    if payment.first_failed_at is not None:
        return payment.first_failed_at
    is_charged = payment.provider != ProviderName.MANUAL and payment.method_id is not None
    return None if is_charged else payment.invoice.due_at


def first_paid_at(held: Subscription) -> datetime | None:
    paid = Payment.unscoped.filter(invoice__subscription_id=held.pk, paid_at__isnull=False)
    return paid.order_by("paid_at").values_list("paid_at", flat=True).first()
