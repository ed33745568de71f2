"""Who wants to know what became of payments: apps above register, and are called in the transaction that books it."""

from __future__ import annotations

from collections.abc import Callable

from cryocloud.web.payments.models import Method, Payment

Hear = Callable[[Payment], None]
_on_paid: list[Hear] = []
_on_failed: list[Hear] = []
_on_method: list[Callable[[Method], None]] = []


def register_outcome(*, on_paid: Hear, on_failed: Hear) -> None:
    """``on_paid`` when a payment is complete; ``on_failed`` at each try that failed and when money was taken back."""
    _on_paid.append(on_paid)
    _on_failed.append(on_failed)


def register_method(hear: Callable[[Method], None]) -> None:
    """When an owner has left another card or account without paying; the organization is held."""
    _on_method.append(hear)


def tell_method(method: Method) -> None:
    for hear in _on_method:
        hear(method)


def tell_paid(payment: Payment) -> None:
    for hear in _on_paid:
        hear(payment)


def tell_failed(payment: Payment) -> None:
    for hear in _on_failed:
        hear(payment)
