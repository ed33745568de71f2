"""How payments and refunds stand, in the words of pages."""

from __future__ import annotations

from dataclasses import dataclass

from cryocloud.web.core.clock import now
from cryocloud.web.payments.models import Charge, Method, Payment, ProviderName, Refund


@dataclass(frozen=True)
class Standing:
    """A word, the looks of its badge, and a sentence that says what happens next."""

    word: str
    looks: str
    next: str


def standing_of(payment: Payment) -> Standing:
    match payment.state:
        case Payment.State.PAID:
            return Standing("paid", "done", "")
        case Payment.State.CANCELLED:
            return Standing("dropped", "cancelled", "Nothing is to be paid any more.")
        case Payment.State.FAILED if payment.next_try_at is not None:
            return Standing("failed", "failed", f"Tried again on {payment.next_try_at:%-d %B %Y, %H:%M} UTC.")
        case Payment.State.FAILED:
            return Standing("failed", "failed", "It is not tried again by itself; please pay now.")
    if payment.provider == ProviderName.MANUAL:
        if payment.invoice.due_at <= now():
            return Standing("overdue", "failed", "The transfer has not arrived yet.")
        return Standing("awaited", "queued", f"Due on {payment.invoice.due_at:%-d %B %Y}.")
    current = payment.charges.filter(state__in=Charge.UNDER_WAY).first()
    if current is None:
        return Standing("open", "queued", "")
    if current.is_checkout:
        return Standing(
            "at the provider", "running", f"A page of {current.get_provider_display()} is open for it."
        )
    return Standing("under way", "running", "A card takes a minute, direct debit some days.")


def method_words(method: Method | None) -> str:
    """How an organization pays, as a part of a sentence."""
    return method.words if method else "bank transfer"


def refund_words(refund: Refund) -> str:
    ways = {
        Refund.State.ORDERED: "ordered",
        Refund.State.PENDING: "on its way",
        Refund.State.EXECUTED: "done",
        Refund.State.FAILED: "in the hands of our staff",
    }
    return ways[Refund.State(refund.state)]
