"""What follows from an answer of the register of VAT ids: the next invoices, and those of the span that is running."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from cryocloud.web.audit.services import record_event
from cryocloud.web.billing import vies
from cryocloud.web.billing.customers import ADDRESS, is_checkable
from cryocloud.web.billing.invoicing import credit_invoice, issue_again, open_cents
from cryocloud.web.billing.ledger import RECEIVABLE, book
from cryocloud.web.billing.models import Customer, Invoice, VatCheck
from cryocloud.web.core.clock import now
from cryocloud.web.lifecycle.letters import write_to_owners
from cryocloud.web.organizations.models import Organization

MOVED = "moved"
"""The account through which payments pass from a credited invoice to the one in its place; always at zero."""

_replaced: list[Callable[[Invoice, Invoice], None]] = []


def register_replaced(act: Callable[[Invoice, Invoice], None]) -> None:
    """``act(old, new)`` in the transaction in which an invoice was credited and issued again without VAT.

    What was paid has moved to the new one as far as it was due; the rest is a negative open amount of the old one.
    """
    _replaced.append(act)


def check(customer_id: str) -> VatCheck.Answer | None:
    """Ask the register and act on the answer; None where there is nothing to ask. Nothing is held meanwhile."""
    customer = Customer.unscoped.filter(pk=customer_id).first()
    if customer is None or not is_checkable(customer):
        return None
    return note_answer(customer_id, customer.vat_id, vies.consult(customer.vat_id))


@transaction.atomic
def note_answer(customer_id: str, vat_id: str, told: vies.Consultation) -> VatCheck.Answer:
    """Keep the answer as proof; it counts if the customer still has the id that was asked about."""
    organization_id = Customer.unscoped.values_list("organization_id", flat=True).get(pk=customer_id)
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
    customer = Customer.unscoped.select_for_update(no_key=True).get(pk=customer_id)
    proof = VatCheck.unscoped.create(
        organization=organization,
        vat_id=vat_id,
        answer=told.answer,
        at=now(),
        consultation=told.consultation,
        trader_name=told.trader_name,
        trader_address=told.trader_address,
        problem=told.problem,
    )
    if customer.vat_id != vat_id or not is_checkable(customer) or told.answer == VatCheck.Answer.DOWN:
        return told.answer
    before, customer.vat_state = customer.vat_state, Customer.VatState(told.answer)
    customer.vat_checked_at, customer.vat_consultation = proof.at, proof.consultation
    customer.save(update_fields=["vat_state", "vat_checked_at", "vat_consultation"])
    if before != customer.vat_state:
        record_event(
            "customer.vat_id_checked",
            organization_id=organization.pk,
            target=customer,
            before=before,
            after=customer.vat_state,
        )
        _act_on(customer, proof)
    return told.answer


def _act_on(customer: Customer, proof: VatCheck) -> None:
    if customer.vat_state == Customer.VatState.VALID:
        for invoice in _running(customer, proof.at):
            _replace(invoice)
        return
    write_to_owners(
        customer.organization,
        key=f"vat_id_refuted:{proof.pk}",
        title=f"The VAT id {proof.vat_id} is not confirmed",
        message=f"The register of the EU (VIES) says that {proof.vat_id} is not in force for trade between countries. "
        "Until it is, invoices bear VAT. If the id is right, ask your tax office to register it, and save your invoice "
        "details again; if not, correct it there.",
        path=ADDRESS,
    )


def _running(customer: Customer, moment: datetime) -> list[Invoice]:
    """Invoices with VAT made out to this id of which something is still being supplied."""
    invoices = Invoice.unscoped.select_for_update(no_key=True, of=("self",)).filter(
        organization_id=customer.organization_id,
        kind=Invoice.Kind.INVOICE,
        credit_note=None,
        vat_cents__gt=0,
        customer__vat_id=customer.vat_id,
    )
    return [
        invoice
        for invoice in invoices.order_by("series__year", "sequence")
        if any(datetime.fromisoformat(line["until_at"]) > moment for line in invoice.lines)
    ]


def _replace(old: Invoice) -> None:
    paid = old.gross_cents - open_cents(old)
    credit_invoice(
        old, key=f"{old.key}:vat_id_confirmed:credit", reason="VAT id confirmed after the invoice was issued"
    )
    new = issue_again(old, key=f"{old.key}:vat_id_confirmed")
    moved = min(max(paid, 0), new.gross_cents)
    if moved > 0:
        text = f"Payment of {old.number} counts for {new.number}"
        organization_id = old.organization_id
        for name, invoice, sign in (("from", old, 1), ("to", new, -1)):
            book(
                f"moved:{name}:{old.pk}",
                {RECEIVABLE: sign * moved, MOVED: -sign * moved},
                text=text,
                organization_id=organization_id,
                invoice=invoice,
            )
    for act in _replaced:
        act(old, new)
    write_to_owners(
        old.organization,
        key=f"vat_id_confirmed:{old.pk}",
        title=f"{new.number} replaces {old.number}, without VAT",
        message="Your VAT id is confirmed now, so that you owe the VAT in your own country (reverse charge). The "
        "earlier invoice is credited, and a payment of it counts for the new one.",
        path=f"/invoices/{new.pk}/",
    )
