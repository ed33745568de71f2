"""What payments write into the ledger, each under a key of its own so that nothing is booked twice.

``unallocated`` holds money that came in and belongs to no invoice: until it is matched, or sent back.
"""

from __future__ import annotations

from cryocloud.web.billing.ledger import FEES, RECEIVABLE, REFUNDS_PAYABLE, book, cash
from cryocloud.web.billing.models import Invoice
from cryocloud.web.payments.models import Charge, Payment, Receipt, Refund, StatementLine

UNALLOCATED = "unallocated"
DISPUTED = "disputed"
"""Money that has gone back twice, refunded and taken back by the bank: to be had again from who decides about it."""
BANK = cash("manual")


def book_charge(charge: Charge, payment: Payment, *, pays_cents: int) -> None:
    """Money taken by a provider: for the invoice as far as something was to be paid, the rest for nothing yet."""
    book(
        f"charge:{charge.pk}",
        {
            cash(charge.provider): charge.amount_cents,
            RECEIVABLE: -pays_cents,
            UNALLOCATED: pays_cents - charge.amount_cents,
        },
        text=f"Payment {charge.reference} of invoice {payment.invoice.number}",
        organization_id=charge.organization_id,
        invoice=payment.invoice,
    )


def book_fee(charge: Charge, fee_cents: int) -> None:
    book(
        f"fee:{charge.pk}",
        {FEES: fee_cents, cash(charge.provider): -fee_cents},
        text=f"Fee of payment {charge.reference}",
        organization_id=charge.organization_id,
    )


def book_return(
    charge: Charge, invoice: Invoice, *, until_cents: int, owed_cents: int, twice_cents: int
) -> None:
    """Money that the customer's bank has taken back: it is owed again, unless it had gone back already.

    ``until_cents`` is the sum of all returns of the charge.
    """
    book(
        f"return:{charge.pk}:{until_cents}",
        {
            RECEIVABLE: owed_cents,
            DISPUTED: twice_cents,
            cash(charge.provider): -owed_cents - twice_cents,
        },
        text=f"Payment {charge.reference} of invoice {invoice.number} was taken back",
        organization_id=charge.organization_id,
        invoice=invoice,
    )


def book_line(line: StatementLine) -> None:
    """Money that came in by transfer, before anybody knows what for."""
    book(
        f"line:{line.pk}",
        {BANK: line.amount_cents, UNALLOCATED: -line.amount_cents},
        text=f"Transfer of {line.booked_on.isoformat()}",
    )


def book_set_aside(line: StatementLine, cents: int) -> None:
    """It was not for us, such as a transfer between accounts of the seller."""
    book(
        f"aside:{line.pk}",
        {UNALLOCATED: cents, BANK: -cents},
        text=f"Transfer of {line.booked_on.isoformat()} is kept elsewhere in the books",
    )


def book_receipt(receipt: Receipt) -> None:
    invoice = receipt.payment.invoice
    book(
        f"receipt:{receipt.pk}",
        {UNALLOCATED: receipt.amount_cents, RECEIVABLE: -receipt.amount_cents},
        text=f"Transfer of {receipt.line.booked_on.isoformat()} pays invoice {invoice.number}",
        organization_id=receipt.organization_id,
        invoice=invoice,
    )


def book_refund_ordered(refund: Refund) -> None:
    """Owed again; of money that paid nothing, what was unallocated is now to be sent back."""
    invoice = refund.payment.invoice if refund.payment and not refund.is_surplus else None
    book(
        f"refund:{refund.pk}",
        {
            RECEIVABLE if invoice else UNALLOCATED: refund.amount_cents,
            REFUNDS_PAYABLE: -refund.amount_cents,
        },
        text=f"Refund of invoice {invoice.number}" if invoice else "Refund of money that was not owed",
        organization_id=refund.organization_id or "",
        invoice=invoice,
    )


def book_refund_executed(refund: Refund) -> None:
    book(
        f"refunded:{refund.pk}",
        {REFUNDS_PAYABLE: refund.amount_cents, cash(refund.provider): -refund.amount_cents},
        text=f"Refund {refund.pk} carried out",
        organization_id=refund.organization_id or "",
    )


def book_payout(line: StatementLine, cents: int, provider: str) -> None:
    """Money that a provider held for the seller has come to the bank account."""
    book(
        f"payout:{line.pk}",
        {UNALLOCATED: cents, cash(provider): -cents},
        text=f"Payout of {provider} of {line.booked_on.isoformat()}",
    )
