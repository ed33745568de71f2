"""Do providers have the same charges and refunds as we, in the same amounts? What is merely news is settled first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from cryocloud.web.billing.money import spoken
from cryocloud.web.core.clock import now
from cryocloud.web.payments.comparing.finding import Found
from cryocloud.web.payments.models import Charge, Refund
from cryocloud.web.payments.providers import online
from cryocloud.web.payments.providers.base import Outcome, Provider, Told
from cryocloud.web.payments.refunds import settle_refund
from cryocloud.web.payments.settling import settle_charge
from cryocloud.web.terms import CURRENCY

LOOKED_BACK = timedelta(days=35)
# What was made at the very edge may be on one side of it here and on the other there.
EDGE = timedelta(days=1)


def differences_with(name: str) -> Iterator[Found]:
    """Raises ``ProviderDown``."""
    provider, since = online(name), now() - LOOKED_BACK
    yield from _charges(
        provider, since_days=LOOKED_BACK, told={t.order_id: t for t in provider.charges_since(since)}
    )
    yield from _refunds(
        provider, since_days=LOOKED_BACK, told={t.order_id: t for t in provider.refunds_since(since)}
    )


def _charges(provider: Provider, *, since_days: timedelta, told: dict[str, Told]) -> Iterator[Found]:
    ours = {one.pk: one for one in Charge.unscoped.filter(provider=provider.name, pk__in=told)}
    for order_id, one in told.items():
        charge = ours.get(order_id)
        if charge is None:
            words = f"{provider.name} has charge {one.reference} over {spoken(one.amount_cents)}, which nobody ordered."
            yield Found("provider_unknown_charge", one.reference, words)
            continue
        if _is_news(charge, one):
            try:
                charge = settle_charge(charge.pk, one)
            except ValueError as contradiction:
                # The ledger holds another entry under its key: for a person, and the others are still compared.
                yield Found(
                    "not_settled",
                    charge.pk,
                    f"Charge {one.reference} cannot be booked: {contradiction}"[:500],
                )
        yield from _differences(charge, one)
    young = Charge.unscoped.filter(provider=provider.name, created_at__gte=now() - since_days + EDGE)
    for charge in young.filter(state=Charge.State.PAID).exclude(pk__in=told):
        words = f"Charge {charge.reference} ({spoken(charge.amount_cents)}) is paid; {provider.name} does not know it."
        yield Found("provider_missing_charge", charge.pk, words)


def _is_news(charge: Charge, told: Told) -> bool:
    """What the provider has learned since, and would have told by a message."""
    if (told.amount_cents, told.currency, told.outcome) != (charge.amount_cents, CURRENCY, Outcome.PAID):
        return False
    has_learned = told.returned_cents > charge.returned_cents or (
        charge.fee_cents is None and told.fee_cents is not None
    )
    return charge.state in Charge.UNDER_WAY or (charge.state == Charge.State.PAID and has_learned)


def _differences(charge: Charge, told: Told) -> Iterator[Found]:
    where = f"Charge {told.reference} of {charge.provider}"
    if told.amount_cents != charge.amount_cents:
        words = f"{where} is over {spoken(told.amount_cents)} there and {spoken(charge.amount_cents)} here."
        yield Found("charge_amount", charge.pk, words)
    if told.currency != CURRENCY:
        yield Found(
            "charge_currency", charge.pk, f"{where} is in {told.currency}; only {CURRENCY} is charged."
        )
    is_paid_here, is_paid_there = charge.state == Charge.State.PAID, told.outcome == Outcome.PAID
    if is_paid_there and not is_paid_here:
        yield Found("paid_there_only", charge.pk, f"{where} is paid there, here it is {charge.state}.")
    if is_paid_here and not is_paid_there:
        yield Found("paid_here_only", charge.pk, f"{where} is paid here, there it is {told.outcome}.")
    if is_paid_here and told.fee_cents is not None and charge.fee_cents != told.fee_cents:
        words = f"{where} cost {spoken(told.fee_cents)} there and {spoken(charge.fee_cents or 0)} here."
        yield Found("charge_fee", charge.pk, words)
    if is_paid_here and told.returned_cents != charge.returned_cents:
        words = f"{where}: {spoken(told.returned_cents)} were taken back there, {spoken(charge.returned_cents)} here."
        yield Found("charge_returned", charge.pk, words)


def _refunds(provider: Provider, *, since_days: timedelta, told: dict[str, Told]) -> Iterator[Found]:
    ours = {one.pk: one for one in Refund.objects.filter(pk__in=told)}
    for order_id, one in told.items():
        refund, where = ours.get(order_id), f"Refund {one.reference} of {provider.name}"
        if refund is None:
            words = f"{where} over {spoken(one.amount_cents)} was ordered by nobody here."
            yield Found("provider_unknown_refund", one.reference, words)
            continue
        if one.amount_cents != refund.amount_cents or one.currency != CURRENCY:
            words = f"{where} is over {one.amount_cents} cents {one.currency} there, here {refund.amount_cents} cents."
            yield Found("refund_amount", refund.pk, words)
            continue
        if refund.state in Refund.UNDER_WAY and one.outcome == Outcome.PAID:
            refund = settle_refund(refund.pk, one)
        if (refund.state == Refund.State.EXECUTED) != (one.outcome == Outcome.PAID):
            yield Found("refund_state", refund.pk, f"{where} is {one.outcome} there and {refund.state} here.")
    done = Refund.objects.filter(provider=provider.name, state=Refund.State.EXECUTED)
    for refund in done.filter(created_at__gte=now() - since_days + EDGE).exclude(pk__in=told):
        words = f"A refund of {spoken(refund.amount_cents)} is done here; {provider.name} does not know it."
        yield Found("provider_missing_refund", refund.pk, words)
