"""Tries to take money: written down first, then ordered, then settled; whoever is killed in between is followed up."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django_tasks import task

from cryocloud.web.billing.models import Customer
from cryocloud.web.core.clock import now
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.core.tasks import CALLING
from cryocloud.web.organizations.models import Organization
from cryocloud.web.payments.models import Charge, Payer, Payment
from cryocloud.web.payments.providers import online
from cryocloud.web.payments.providers.base import Provider, ProviderDown, Told
from cryocloud.web.payments.settling import settle_charge

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
CHECKOUT_LASTS = timedelta(hours=24)


@transaction.atomic
def begin_try(payment_id: str) -> Charge | None:
    """The next charge of a payment whose time has come; None if it is not due, or one is under way."""
    payment = Payment.unscoped.select_for_update(no_key=True).get(pk=payment_id)
    is_due = payment.next_try_at is not None and payment.next_try_at <= now()
    if not (payment.is_live and is_due and payment.method and payment.method.charges):
        return None
    if payment.charges.filter(state__in=Charge.UNDER_WAY).exists():
        return None
    payment.state, payment.next_try_at = Payment.State.PENDING, None
    return _new_charge(payment, is_checkout=False, provider=payment.method.provider)


def new_checkout(payment: Payment, provider: str) -> Charge:
    """Under the lock of the payment."""
    return _new_charge(payment, is_checkout=True, provider=provider)


def _new_charge(payment: Payment, *, is_checkout: bool, provider: str) -> Charge:
    payment.tries += 1
    payment.save()
    return Charge.unscoped.create(
        organization_id=payment.organization_id,
        payment=payment,
        method=None if is_checkout else payment.method,
        provider=provider,
        number=payment.tries,
        amount_cents=payment.missing_cents,
        is_checkout=is_checkout,
    )


@task(priority=CALLING)
def take_payment(payment_id: str) -> None:
    """A provider that is down is asked again by the clock, for as long as it takes."""
    with suppress(ProviderDown):
        take(payment_id)


def take(payment_id: str) -> None:
    """Charge a payment that is due."""
    charge = begin_try(payment_id)
    if charge is not None:
        crash_point("charge:ordered")
        follow(charge.pk)


def bring_on(charge_id: str) -> Charge:
    """What the clock does about a charge under way; a page that nobody has paid on is closed in the end."""
    charge = Charge.unscoped.get(pk=charge_id)
    if charge.is_checkout and charge.created_at + CHECKOUT_LASTS <= now():
        return stop_checkout(charge_id)
    return follow(charge_id)


def follow(charge_id: str, *, back_to: str = "") -> Charge:
    """Bring a charge forward: ask what is known of it, order it if it never arrived, and book what is told."""
    charge = Charge.unscoped.select_related("method", "payment__invoice", "organization").get(pk=charge_id)
    provider = online(charge.provider)
    try:
        payer = payer_of(charge.organization, provider)
        told = provider.look_up(charge, payer)
        if told is None and charge.state == Charge.State.ORDERED:
            crash_point("charge:before-provider")
            told = _order(provider, charge, payer, back_to)
            crash_point("charge:after-provider")
    except ProviderDown:
        _ask_later(charge)
        raise
    if told is not None:
        charge = settle_charge(charge_id, told)
        crash_point("charge:after-booking")
    if charge.state in Charge.UNDER_WAY:
        _ask_later(charge)
    return charge


def _order(provider: Provider, charge: Charge, payer: str, back_to: str) -> Told | None:
    """A checkout whose customer is gone needs no page any more: it is given up without having been ordered."""
    words = f"Invoice {charge.payment.invoice.number}"
    if not charge.is_checkout:
        return provider.order_charge(charge, payer, words=words)
    if back_to:
        return provider.open_checkout(charge, payer, words=words, back_to=back_to)
    return None


def stop_checkout(charge_id: str) -> Charge:
    """Close the page of a checkout, so that something else may be tried; it may turn out that it was paid."""
    charge = Charge.unscoped.get(pk=charge_id)
    if charge.reference:
        online(charge.provider).cancel(charge)
    charge = follow(charge_id)
    if charge.state == Charge.State.ORDERED:
        # The provider has been asked and knows nothing of it.
        Charge.unscoped.filter(pk=charge_id, state=Charge.State.ORDERED).update(
            state=Charge.State.CANCELLED, settled_at=now()
        )
        charge.refresh_from_db()
    return charge


def payer_of(organization: Organization, provider: Provider) -> str:
    found = Payer.unscoped.filter(organization=organization, provider=provider.name).first()
    if found is None:
        customer = Customer.unscoped.filter(organization=organization).first()
        reference = provider.make_payer(organization, customer.email if customer else "")
        crash_point("charge:payer-made")
        found, _ = Payer.unscoped.get_or_create(
            organization=organization, provider=provider.name, defaults={"reference": reference}
        )
    return found.reference


def _ask_later(charge: Charge) -> None:
    """Sooner for what is young; a webhook usually comes first."""
    Charge.unscoped.filter(pk=charge.pk).update(ask_at=next_look_at(charge.created_at))


def next_look_at(began_at: datetime) -> datetime:
    return now() + min(LONGEST_PAUSE, max(FIRST_PAUSE, (now() - began_at) / 4))
