"""What tests about payments do: move the worker, store a card, send what a provider would send."""

from __future__ import annotations

from typing import Any

from django.test import Client

from cryocloud.web.core.tasks import run_next
from cryocloud.web.payments.models import Charge, Method, Payment
from cryocloud.web.payments.tasks import move_payments
from payment_dialect_stripe import stripe_event
from payment_double import PaymentDouble

GROSS_CENTS = 59_290  # 490.00 EUR and 21 % of it


def work() -> None:
    """All background tasks that are due."""
    while run_next("test"):
        pass


def tick() -> None:
    """A turn of the clock of the worker, and what follows."""
    Charge.unscoped.update(ask_at="2000-01-01T00:00Z")
    move_payments()
    work()


def card_of(organization: Any, provider: str) -> Method:
    mandate = {"stripe": "pm_card", "mollie": "mdt_card"}[provider]
    return Method.unscoped.create(
        organization=organization,
        provider=provider,
        kind="card",
        mandate=mandate,
        words="Visa ending in 4242",
    )


def send_event(
    double: PaymentDouble, charge: Charge, event_id: str, kind: str = "payment_intent.succeeded"
) -> Any:
    """As the provider would: signed by Stripe, an id by Mollie."""
    (taken,) = double.of_order(charge.pk)
    if charge.provider == "mollie":
        body, headers = (
            f"id={taken.reference}".encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
    else:
        body, headers = stripe_event({"id": taken.reference, "object": "payment_intent"}, kind, event_id)
    return post_event(charge.provider, body, headers)


def post_event(provider: str, body: bytes, headers: dict[str, str]) -> Any:
    kind = headers.get("Content-Type", "application/json")
    rest = {name: value for name, value in headers.items() if name != "Content-Type"}
    return Client().generic(
        "POST", f"/api/v1/payments/events/{provider}", body, content_type=kind, headers=rest
    )


def the_payment() -> Payment:
    return Payment.unscoped.get()
