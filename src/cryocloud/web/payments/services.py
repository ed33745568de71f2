"""Asking for money and sending it back. Apps above register what they do when a payment succeeds or fails."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.audit.services import record_event
from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.models import Invoice
from cryocloud.web.core.clock import now
from cryocloud.web.core.errors import Busy, Conflict, NotFound, Refused
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.payments.charging import follow, new_checkout, stop_checkout, take_payment
from cryocloud.web.payments.models import Charge, Method, Payment, ProviderName, Refund
from cryocloud.web.payments.outcomes import register_outcome
from cryocloud.web.payments.providers import offered
from cryocloud.web.payments.providers.base import ProviderDown
from cryocloud.web.payments.providers.manual import Instructions, instructions
from cryocloud.web.payments.references import new_reference
from cryocloud.web.payments.refunds import refund_payments

__all__ = (
    "Checkout",
    "begin_checkout",
    "cancel_payment",
    "method_of",
    "payment_of",
    "refund_all",
    "register_outcome",
    "request_payment",
)


@dataclass(frozen=True)
class Checkout:
    """Where the customer pays: at an address, or by transfer."""

    payment: Payment
    address: str = ""
    transfer: Instructions | None = None


def method_of(organization: Organization) -> Method | None:
    """How the organization pays; the caller has been through the door."""
    return Method.unscoped.filter(organization=organization, ended_at=None).first()


def payment_of(invoice: Invoice) -> Payment | None:
    """The one that counts; the caller has been through the door."""
    return Payment.unscoped.filter(invoice=invoice).exclude(state=Payment.State.CANCELLED).first()


@transaction.atomic
def request_payment(invoice: Invoice, method: Method | None) -> Payment:
    """Have an invoice paid by a method, by transfer without one; once, however often it is asked for."""
    payment, is_new = _payment_for(invoice, method.provider if method else ProviderName.MANUAL)
    if is_new and method is not None and method.charges:
        payment.method, payment.next_try_at = method, now()
        payment.save(update_fields=["method", "next_try_at"])
        take_payment.enqueue(payment.pk)
    return payment


def begin_checkout(*, actor: Actor, organization: Organization, invoice: Invoice, provider: str) -> Checkout:
    """Pay an invoice now: the address of the provider's page, or what to write on a transfer."""
    access.require_role(actor, organization.pk, Role.OWNER)
    if invoice.organization_id != organization.pk:
        raise NotFound
    if provider not in offered():
        raise Refused("That way to pay is not offered here.", {"provider": f"“{provider}” is not offered."})
    if provider == ProviderName.MANUAL:
        return _by_transfer(actor, invoice)
    try:
        charge = _checkout_charge(actor, invoice, provider)
        followed = follow(charge.pk, back_to=f"/organization/payments/{charge.payment_id}/")
    except ProviderDown:
        raise Busy(
            f"{ProviderName(provider).label} does not answer just now. Nothing was charged; try again in a few "
            "minutes, or pay by bank transfer."
        ) from None
    if not followed.address or followed.state not in Charge.UNDER_WAY:
        raise Conflict("This payment has just changed. Load the page again to see how it stands.")
    return Checkout(followed.payment, address=followed.address)


@transaction.atomic
def cancel_payment(invoice: Invoice) -> None:
    """Nothing is to be paid any more, such as after a credit note. Money that comes all the same goes back."""
    held = (
        Payment.unscoped.select_for_update(no_key=True)
        .filter(invoice=invoice, state__in=Payment.LIVE)
        .first()
    )
    if held is not None:
        held.state, held.next_try_at = Payment.State.CANCELLED, None
        held.save(update_fields=["state", "next_try_at"])
        record_event("payment.cancelled", organization_id=held.organization_id, target=held)


@transaction.atomic
def refund_all(organization: Organization, *, key: str) -> list[Refund]:
    """Everything that the organization has paid goes back the way it came; what was still to be paid is dropped."""
    payments = list(Payment.unscoped.filter(organization=organization).select_related("invoice"))
    refunds = refund_payments(payments, key)
    for payment in payments:
        if payment.is_live:
            cancel_payment(payment.invoice)
    return refunds


def _payment_for(invoice: Invoice, provider: str) -> tuple[Payment, bool]:
    """Under the lock of the organization, so that two who ask at once get the same."""
    Organization.objects.select_for_update(no_key=True).get(pk=invoice.organization_id)
    found = payment_of(invoice)
    if found is not None:
        return found, False
    amount_cents = open_cents(invoice)
    if amount_cents <= 0:
        raise Conflict(f"Nothing is to be paid for {invoice.number}.")
    is_transfer = provider == ProviderName.MANUAL
    payment = Payment.unscoped.create(
        organization_id=invoice.organization_id,
        invoice=invoice,
        provider=provider,
        amount_cents=amount_cents,
        reference=new_reference(),
        state=Payment.State.PENDING if is_transfer else Payment.State.OPEN,
    )
    record_event(
        "payment.requested",
        organization_id=invoice.organization_id,
        target=payment,
        provider=provider,
        amount_cents=amount_cents,
    )
    return payment, True


@transaction.atomic
def _by_transfer(actor: Actor, invoice: Invoice) -> Checkout:
    payment, _ = _payment_for(invoice, ProviderName.MANUAL)
    _require_unpaid(payment)
    if payment.provider != ProviderName.MANUAL:
        _require_nothing_under_way(payment)
        payment.provider, payment.next_try_at = ProviderName.MANUAL, None
        if payment.state == Payment.State.OPEN:
            payment.state = Payment.State.PENDING
        payment.save()
        _record_choice(actor, payment, ProviderName.MANUAL)
    return Checkout(payment, transfer=instructions(payment))


def _checkout_charge(actor: Actor, invoice: Invoice, provider: str) -> Charge:
    """One that is open already is gone on with; a page of another provider is closed first."""
    with transaction.atomic():
        payment, _ = _payment_for(invoice, provider)
        _require_unpaid(payment)
        current = payment.charges.filter(state__in=Charge.UNDER_WAY).first()
        if current is not None and not current.is_checkout:
            raise Conflict(
                "This payment is under way. Wait for its end; it takes some minutes, for direct debit days."
            )
        if current is None:
            _record_choice(actor, payment, provider)
            return new_checkout(payment, provider)
    if current.provider == provider:
        return current
    stop_checkout(current.pk)
    with transaction.atomic():
        held = Payment.unscoped.select_for_update(no_key=True).get(pk=payment.pk)
        _require_unpaid(held)
        _require_nothing_under_way(held)
        _record_choice(actor, held, provider)
        return new_checkout(held, provider)


def _require_unpaid(payment: Payment) -> None:
    if payment.state == Payment.State.PAID:
        raise Conflict("This invoice is paid.")


def _require_nothing_under_way(payment: Payment) -> None:
    if payment.charges.filter(state__in=Charge.UNDER_WAY).exists():
        raise Conflict(
            "Another way to pay this invoice is under way. Finish or leave it first; it ends within a day."
        )


def _record_choice(actor: Actor, payment: Payment, provider: str) -> None:
    record_event(
        "payment.checkout_begun",
        organization_id=payment.organization_id,
        target=payment,
        actor_id=actor.user.pk,
        via=actor.via,
        provider=provider,
    )
