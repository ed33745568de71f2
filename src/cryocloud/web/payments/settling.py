"""What follows from what a provider says of a charge. Told twice, late or in any order, the books come out the same."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from cryocloud.web.core.clock import now
from cryocloud.web.core.crash_points import crash_point
from cryocloud.web.payments.alarms import raise_alarm
from cryocloud.web.payments.booking import book_charge, book_fee, book_return
from cryocloud.web.payments.holding import hold_payment
from cryocloud.web.payments.letters import write_failure
from cryocloud.web.payments.models import Charge, Method, Payment, ProviderName
from cryocloud.web.payments.outcomes import tell_failed, tell_paid
from cryocloud.web.payments.providers.base import Outcome, Told, ToldMethod
from cryocloud.web.payments.refunds import order_refund, refunded_cents
from cryocloud.web.terms import CURRENCY, billing


@transaction.atomic
def settle_charge(charge_id: str, told: Told) -> Charge:
    payment, charge = held(charge_id)
    if (told.amount_cents, told.currency) != (charge.amount_cents, CURRENCY):
        raise_alarm(
            "charge_amount",
            charge.pk,
            f"{charge.provider} has charge {told.reference} with {told.amount_cents} cents {told.currency}, ordered "
            f"were {charge.amount_cents} cents {CURRENCY}. Nothing is booked.",
        )
        return charge
    charge.reference, charge.address = told.reference, told.address or charge.address
    match told.outcome:
        case Outcome.PAID:
            if charge.state != Charge.State.PAID:
                _paid(payment, charge, told.method)
            _book_later_news(payment, charge, told)
        case Outcome.PENDING:
            if charge.state == Charge.State.ORDERED:
                charge.state = Charge.State.PENDING
        case Outcome.FAILED | Outcome.CANCELLED:
            if charge.state in Charge.UNDER_WAY:
                _failed(payment, charge, told)
    charge.save()
    crash_point("charge:before-commit")
    return charge


def held(charge_id: str) -> tuple[Payment, Charge]:
    """A charge and its payment, under the locks of both and of the organization."""
    found = Charge.unscoped.values_list("payment_id", flat=True).get(pk=charge_id)
    payment = hold_payment(found)
    return payment, Charge.unscoped.select_for_update(no_key=True).get(pk=charge_id)


def complete(payment: Payment, cents: int) -> None:
    """Count money towards a payment under the lock; when nothing is missing it is paid."""
    payment.received_cents += cents
    if payment.missing_cents == 0:
        payment.state, payment.paid_at = Payment.State.PAID, now()
        payment.next_try_at, payment.failure = None, ""
        payment.save()
        tell_paid(payment)
    else:
        payment.save()


def _paid(payment: Payment, charge: Charge, method: ToldMethod | None) -> None:
    """What was already paid by other means, or is no longer wanted, goes back at once."""
    was_owed = min(charge.amount_cents, payment.missing_cents) if payment.is_live else 0
    charge.state, charge.settled_at, charge.failure = Charge.State.PAID, now(), ""
    book_charge(charge, payment, pays_cents=was_owed)
    if method is not None:
        payment.method = charge.method = adopt_method(payment.organization_id, charge.provider, method)
    charge.save()
    if was_owed:
        payment.provider = charge.provider
        complete(payment, was_owed)
    surplus_cents = charge.amount_cents - was_owed
    if surplus_cents:
        order_refund(
            f"surplus:{charge.pk}",
            payment=payment,
            charge=charge,
            amount_cents=surplus_cents,
            is_surplus=True,
        )


def _book_later_news(payment: Payment, charge: Charge, told: Told) -> None:
    if told.fee_cents is not None and charge.fee_cents is None:
        charge.fee_cents = told.fee_cents
        if told.fee_cents:
            book_fee(charge, told.fee_cents)
    if told.returned_cents > charge.returned_cents:
        _returned(payment, charge, told.returned_cents)


def _returned(payment: Payment, charge: Charge, until_cents: int) -> None:
    """The bank or the card holder has taken money back.

    What was refunded before is gone twice and owed by nobody; the daily comparison tells staff of it.
    """
    kept_cents = charge.amount_cents - refunded_cents(charge.refunds)
    owed_cents = max(0, min(until_cents, kept_cents) - charge.returned_cents)
    twice_cents = until_cents - charge.returned_cents - owed_cents
    charge.returned_cents = until_cents
    book_return(
        charge, payment.invoice, until_cents=until_cents, owed_cents=owed_cents, twice_cents=twice_cents
    )
    if not owed_cents:
        return
    payment.received_cents = max(0, payment.received_cents - owed_cents)
    payment.state, payment.paid_at, payment.next_try_at = Payment.State.FAILED, None, None
    payment.failure = "The payment was taken back by the bank or the card holder."
    payment.first_failed_at = payment.first_failed_at or now()
    payment.save()
    tell_failed(payment)
    write_failure(payment, charge)


def _failed(payment: Payment, charge: Charge, told: Told) -> None:
    is_cancelled = told.outcome == Outcome.CANCELLED
    charge.state = Charge.State.CANCELLED if is_cancelled else Charge.State.FAILED
    charge.failure, charge.settled_at = told.failure[:200], now()
    charge.save()
    if not payment.is_live:
        return
    if charge.is_checkout:
        # Nothing was promised to be taken: the customer has left the page, or may try again there.
        payment.state = _resting(payment)
        payment.failure = charge.failure
        payment.save()
        return
    payment.first_failed_at = payment.first_failed_at or now()
    payment.state, payment.failure = Payment.State.FAILED, charge.failure
    payment.next_try_at = _next_try(payment)
    payment.save()
    tell_failed(payment)
    write_failure(payment, charge)


def _resting(payment: Payment) -> str:
    if payment.first_failed_at is not None:
        return Payment.State.FAILED
    is_transfer = payment.provider == ProviderName.MANUAL
    return Payment.State.PENDING if is_transfer else Payment.State.OPEN


def _next_try(payment: Payment) -> datetime | None:
    """By the days after the first failure; days that passed while nobody could try are not made up for."""
    assert payment.first_failed_at is not None
    terms = billing()
    days = terms.retry_days if terms else ()
    failed = payment.charges.filter(state=Charge.State.FAILED, is_checkout=False).count()
    moments = [payment.first_failed_at + timedelta(days=day) for day in days]
    return next((moment for moment in moments[max(0, failed - 1) :] if moment > now()), None)


def adopt_method(organization_id: str, provider: str, told: ToldMethod) -> Method:
    """What was paid with, or left for it, is charged from now on; under the lock of the organization."""
    current = Method.unscoped.filter(organization_id=organization_id, ended_at=None).first()
    if current and (current.provider, current.mandate) == (provider, told.mandate):
        return current
    if current:
        current.ended_at = now()
        current.save(update_fields=["ended_at"])
    return Method.unscoped.create(
        organization_id=organization_id,
        provider=provider,
        kind=told.kind,
        mandate=told.mandate,
        words=told.words[:200],
    )
