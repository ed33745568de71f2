"""Issuing: the one way in which invoices and credit notes come about. Their documents follow, made by the worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

from django.db import transaction
from django.db.models import Sum

from cryocloud.web import terms
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.customers import customer_of, is_reverse_chargeable, place_of
from cryocloud.web.billing.ledger import RECEIVABLE, REVENUE, book
from cryocloud.web.billing.models import Customer, Invoice, InvoiceSeries, Posting
from cryocloud.web.billing.vat import HOME, Treatment, Vat, rate_text, vat_on
from cryocloud.web.core.clock import now
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.core.days import day_of
from cryocloud.web.core.errors import Conflict
from cryocloud.web.organizations.models import Organization

KEEP_YEARS, KEEP_YEARS_ONE_STOP_SHOP = 7, 10


@dataclass(frozen=True)
class DraftLine:
    """A line before VAT. ``quantity`` is a decimal number; the span is what it was supplied in, half open."""

    text: str
    quantity: str
    unit: str
    net_cents: int
    from_at: datetime
    until_at: datetime
    kind: Literal["plan", "credit", "compute", "storage"]


@transaction.atomic
def issue_invoice(
    organization: Organization,
    lines: Sequence[DraftLine],
    *,
    key: str,
    due_at: datetime,
    subscription_id: str = "",
) -> Invoice:
    """Number it, store what it says and book it, once a ``key``.

    A sum of zero is a ``ValueError``: ask before. So is a key that stands for another sum already.
    The sum may be negative, where a credit for unused time is more than the new price: then the seller owes it.
    """
    series = _hold_series()
    known = Invoice.unscoped.filter(key=key).first()
    net_cents = sum(line.net_cents for line in lines)
    if known is not None:
        if known.net_cents != net_cents:
            raise ValueError(f"{key}: {known.number} is over {known.net_cents} cents, not over {net_cents}")
        return known
    if net_cents == 0:
        raise ValueError(f"{key}: an invoice over nothing is not issued")
    customer = customer_of(organization)
    vat = vat_for(customer)
    return _store(
        organization,
        series,
        vat,
        net_cents=net_cents,
        vat_cents=vat.of(net_cents),
        key=key,
        kind=Invoice.Kind.INVOICE,
        due_at=due_at,
        subscription_id=subscription_id,
        customer=_copy_of(customer),
        lines=[_line(line) for line in lines],
    )


@transaction.atomic
def issue_again(credited: Invoice, *, key: str) -> Invoice:
    """The same lines and due moment under a new number, with the VAT that is right now."""
    lines = [
        DraftLine(**line | {at: datetime.fromisoformat(line[at]) for at in ("from_at", "until_at")})
        for line in credited.lines
    ]
    return issue_invoice(
        credited.organization,
        lines,
        key=key,
        due_at=credited.due_at,
        subscription_id=credited.subscription_id,
    )


@transaction.atomic
def credit_invoice(invoice: Invoice, *, key: str, reason: str) -> Invoice:
    """Take an invoice back as a whole, with its own VAT. An invoice is credited once, whatever the key."""
    if invoice.is_credit_note:
        raise ValueError(f"{invoice.number} is a credit note; it is not credited")
    series = _hold_series()
    known = Invoice.unscoped.filter(corrects=invoice).first()
    if known is not None:
        return known
    breakdown = invoice.vat[0]
    return _store(
        invoice.organization,
        series,
        Vat(Treatment(breakdown["treatment"]), breakdown["country"], breakdown["rate_bp"]),
        net_cents=-invoice.net_cents,
        vat_cents=-invoice.vat_cents,
        key=key,
        kind=Invoice.Kind.CREDIT_NOTE,
        corrects=invoice,
        reason=reason,
        due_at=now(),
        subscription_id=invoice.subscription_id,
        customer=invoice.customer,
        lines=[line | {"net_cents": -line["net_cents"]} for line in invoice.lines],
    )


def open_cents(invoice: Invoice) -> int:
    """What is still to be paid of an invoice, after payments and its credit note; negative where too much was paid."""
    subject = invoice.corrects_id or invoice.pk
    rows = Posting.objects.filter(entry__invoice_id=subject, account=RECEIVABLE)
    return rows.aggregate(sum=Sum("cents"))["sum"] or 0


def vat_for(customer: Customer) -> Vat:
    """What an invoice to them would bear today."""
    sold = _terms()
    return vat_on(
        place_of(customer),
        day_of(now()),
        is_business=customer.kind == Customer.Kind.BUSINESS,
        is_vat_id_confirmed=is_reverse_chargeable(customer),
        one_stop_shop=sold.one_stop_shop,
    )


def revenue_account(vat: Vat) -> str:
    """Turnover apart by how it is taxed, so that each figure of a return is the balance of an account."""
    place = f":{vat.country}:{rate_text(vat.rate_bp)}" if vat.country else ""
    return f"{REVENUE}:{vat.treatment}{place}"


def vat_account(vat: Vat) -> str:
    return f"vat:{vat.country}:{rate_text(vat.rate_bp)}"


def _terms() -> terms.Billing:
    sold = terms.billing()
    if sold is None:
        raise Conflict("Nothing is sold here, so there are no invoices.")
    if sold.seller.country != HOME:
        raise Conflict(
            f"The seller is in {sold.seller.country}; only one in the Netherlands can issue invoices."
        )
    return sold


def _hold_series() -> InvoiceSeries:
    """The series of this year; whoever issues holds it until the invoice is stored, one after the other."""
    code, year = _terms().seller.series, day_of(now()).year
    InvoiceSeries.objects.get_or_create(code=code, year=year)
    held = InvoiceSeries.objects.select_for_update(no_key=True).get(code=code, year=year)
    crash_point("invoice:series-held")
    return held


def _store(
    organization: Organization,
    series: InvoiceSeries,
    vat: Vat,
    *,
    net_cents: int,
    vat_cents: int,
    **said: Any,
) -> Invoice:
    moment = now()
    issued_on = day_of(moment)
    if issued_on.year != series.year:  # midnight of a new year passed while the series was waited for
        series = _hold_series()
        moment = now()
        issued_on = day_of(moment)
    series.last += 1
    series.save(update_fields=["last"])
    invoice = Invoice.unscoped.create(
        organization=organization,
        series=series,
        sequence=series.last,
        number=f"{series.code}-{series.year}-{series.last:06d}",
        issued_at=moment,
        issued_on=issued_on,
        seller=_terms().seller.model_dump(),
        currency=terms.CURRENCY,
        treatment=vat.treatment,
        vat=[
            {
                "country": vat.country,
                "treatment": vat.treatment,
                "rate_bp": vat.rate_bp,
                "net_cents": net_cents,
                "vat_cents": vat_cents,
            }
        ],
        net_cents=net_cents,
        vat_cents=vat_cents,
        gross_cents=net_cents + vat_cents,
        keep_until=keep_until(issued_on, vat.treatment),
        **said,
    )
    subject = invoice.corrects or invoice
    book(
        f"{invoice.kind}:{invoice.pk}",
        {RECEIVABLE: invoice.gross_cents, revenue_account(vat): -net_cents, vat_account(vat): -vat_cents},
        text=f"{invoice.get_kind_display().capitalize()} {invoice.number}",
        organization_id=organization.pk,
        invoice=subject,
        at=moment,
    )
    record_event(
        "invoice.issued",
        organization_id=organization.pk,
        target=invoice,
        number=invoice.number,
        gross_cents=invoice.gross_cents,
    )
    _order_documents(invoice)
    return invoice


def _order_documents(invoice: Invoice) -> None:
    from cryocloud.web.billing.tasks import make_documents

    make_documents.enqueue(invoice.pk, organization_id=invoice.organization_id)


def keep_until(issued_on: date, treatment: Treatment) -> date:
    """The last day on which the law wants it kept: years after the end of the year of issue."""
    years = KEEP_YEARS_ONE_STOP_SHOP if treatment == Treatment.DESTINATION else KEEP_YEARS
    return date(issued_on.year + years, 12, 31)


def _line(line: DraftLine) -> dict[str, Any]:
    return asdict(line) | {"from_at": line.from_at.isoformat(), "until_at": line.until_at.isoformat()}


COPIED = (
    "kind",
    "name",
    "street",
    "postal_code",
    "city",
    "region",
    "country",
    "email",
    "po_number",
    "vat_id",
)


def _copy_of(customer: Customer) -> dict[str, Any]:
    checked = customer.vat_checked_at
    return {name: getattr(customer, name) for name in COPIED} | {
        "vat_state": customer.vat_state,
        "vat_checked_at": checked.isoformat() if checked else "",
        "vat_consultation": customer.vat_consultation,
    }
