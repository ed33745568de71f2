"""Stripe: cards and SEPA direct debit. A checkout is a Session, a charge without the customer a PaymentIntent.

Both carry our id in their metadata and as idempotency key. Stripe forgets keys after a day, so that before an order is
repeated, the customer's own list is searched for our id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

import stripe

from cryocloud.web.configuration import configuration
from cryocloud.web.organizations.models import Organization
from cryocloud.web.payments.models import Charge, MethodChange, Refund
from cryocloud.web.payments.providers.base import (
    Event,
    ForgedEvent,
    Outcome,
    ProviderDown,
    Told,
    ToldMethod,
)
from cryocloud.web.terms import CURRENCY

WAIT_S = (4.0, 15.0)
TOLERANCE_S = 300
OFF_SESSION_KINDS = {"card": "card", "direct_debit": "sepa_debit"}
METHOD_KINDS = {"card": "card", "sepa_debit": "direct_debit"}
DISPUTES_WITHOUT_LOSS = {
    "won",
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "prevented",
}
EXPANDED = ["latest_charge.balance_transaction", "payment_method"]
EXPANDED_IN_METHOD_PAGE = ["setup_intent.payment_method"]
EXPANDED_IN_SESSION = [f"payment_intent.{name}" for name in EXPANDED]


class Stripe:
    """Speaks to Stripe with one key."""

    name = "stripe"

    def __init__(self, key: str, webhook_secret: str, url: str) -> None:
        self._secret = webhook_secret
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": url},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=WAIT_S),
        ).v1

    def make_payer(self, organization: Organization, email: str) -> str:
        wanted: Any = {"name": organization.name, "metadata": {"organization": organization.pk}}
        if email:
            wanted["email"] = email
        with _answers():
            return self._client.customers.create(wanted, {"idempotency_key": f"payer-{organization.pk}"}).id

    def open_checkout(self, charge: Charge, payer: str, *, words: str, back_to: str) -> Told:
        back = urljoin(f"{configuration().address}/", back_to.lstrip("/"))
        wanted: Any = {
            "mode": "payment",
            "customer": payer,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": CURRENCY.lower(),
                        "unit_amount": charge.amount_cents,
                        "product_data": {"name": words},
                    },
                }
            ],
            "payment_method_types": ["card", "sepa_debit"],
            "payment_intent_data": {
                "setup_future_usage": "off_session",
                "metadata": {"charge": charge.pk},
                "description": words,
            },
            "metadata": {"charge": charge.pk},
            "success_url": back,
            "cancel_url": back,
            "expand": EXPANDED_IN_SESSION,
        }
        with _answers():
            return _told_of_session(
                self._client.checkout.sessions.create(wanted, {"idempotency_key": charge.pk}).to_dict()
            )

    def order_charge(self, charge: Charge, payer: str, *, words: str) -> Told:
        assert charge.method is not None
        wanted: Any = {
            "amount": charge.amount_cents,
            "currency": CURRENCY.lower(),
            "customer": payer,
            "payment_method": charge.method.mandate,
            "payment_method_types": [OFF_SESSION_KINDS[charge.method.kind]],
            "confirm": True,
            "off_session": True,
            "description": words,
            "metadata": {"charge": charge.pk},
            "expand": EXPANDED,
        }
        try:
            with _answers():
                made = self._client.payment_intents.create(wanted, {"idempotency_key": charge.pk})
                return self._told(made.to_dict(), is_final=True)
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            intent: Any = error.error.payment_intent if error.error else None
            return Told(
                reference=intent.id if intent else "",
                order_id=charge.pk,
                outcome=Outcome.FAILED,
                amount_cents=charge.amount_cents,
                currency=CURRENCY,
                failure=error.user_message or "The payment was declined.",
            )

    def look_up(self, charge: Charge, payer: str) -> Told | None:
        with _answers():
            if charge.reference:
                return self._by_reference(charge.reference)
            if charge.is_checkout:
                sessions = self._client.checkout.sessions.list({"customer": payer, "limit": 100})
                session = _ours(sessions.auto_paging_iter(), "charge", charge.pk)
                return self._by_reference(session["id"]) if session else None
            intents = self._client.payment_intents.list({"customer": payer, "limit": 100})
            known = _ours(intents.auto_paging_iter(), "charge", charge.pk)
            return self._by_reference(known["id"]) if known else None

    def open_method_page(self, change: MethodChange, payer: str, *, back_to: str) -> Told:
        back = urljoin(f"{configuration().address}/", back_to.lstrip("/"))
        wanted: Any = {
            "mode": "setup",
            "customer": payer,
            "currency": CURRENCY.lower(),
            "payment_method_types": ["card", "sepa_debit"],
            "metadata": {"method_change": change.pk},
            "success_url": back,
            "cancel_url": back,
            "expand": EXPANDED_IN_METHOD_PAGE,
        }
        with _answers():
            made = self._client.checkout.sessions.create(wanted, {"idempotency_key": change.pk})
            return _told_of_method_page(made.to_dict())

    def look_up_method(self, change: MethodChange, payer: str) -> Told | None:
        with _answers():
            reference = change.reference
            if not reference:
                sessions = self._client.checkout.sessions.list({"customer": payer, "limit": 100})
                session = _ours(sessions.auto_paging_iter(), "method_change", change.pk)
                if session is None:
                    return None
                reference = session["id"]
            page = self._client.checkout.sessions.retrieve(reference, {"expand": EXPANDED_IN_METHOD_PAGE})
            return _told_of_method_page(page.to_dict())

    def cancel(self, page: Charge | MethodChange) -> None:
        try:
            with _answers():
                if page.reference.startswith("cs_"):
                    self._client.checkout.sessions.expire(page.reference)
                elif page.reference.startswith("pi_"):
                    self._client.payment_intents.cancel(page.reference)
        except stripe.InvalidRequestError:
            return  # it has ended meanwhile; what came of it is looked up

    def order_refund(self, refund: Refund, *, words: str) -> Told:
        assert refund.charge is not None
        wanted: Any = {
            "payment_intent": self._intent_of(refund.charge),
            "amount": refund.amount_cents,
            "metadata": {"refund": refund.pk},
        }
        try:
            with _answers():
                made = self._client.refunds.create(wanted, {"idempotency_key": refund.pk})
                return _told_of_refund(made.to_dict())
        except stripe.InvalidRequestError as error:
            failure = error.user_message or str(error)
            return Told("", refund.pk, Outcome.FAILED, refund.amount_cents, CURRENCY, failure=failure)

    def look_up_refund(self, refund: Refund) -> Told | None:
        assert refund.charge is not None
        with _answers():
            if refund.reference:
                return _told_of_refund(self._client.refunds.retrieve(refund.reference).to_dict())
            made = self._client.refunds.list({"payment_intent": self._intent_of(refund.charge), "limit": 100})
            found = _ours(made.auto_paging_iter(), "refund", refund.pk)
            return _told_of_refund(found) if found else None

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        try:
            event = stripe.Webhook.construct_event(
                body, headers.get("Stripe-Signature"), self._secret, tolerance=TOLERANCE_S
            )
            about: Any = event.data.to_dict()["object"]
            subject = about.get("payment_intent") or about["id"]
            return Event(event.id, event.type, subject if isinstance(subject, str) else subject["id"])
        except stripe.SignatureVerificationError:
            raise ForgedEvent("The signature does not fit, or is older than five minutes.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ForgedEvent("This is no event of Stripe.") from None

    def order_of(self, subject: str) -> str:
        """Our id of the charge or change that an event is about; empty for what is not ours."""
        if not subject.startswith(("pi_", "cs_")):
            return ""
        try:
            with _answers():
                found: Any = (
                    self._client.payment_intents.retrieve(subject)
                    if subject.startswith("pi_")
                    else self._client.checkout.sessions.retrieve(subject)
                )
        except stripe.InvalidRequestError:
            return ""
        ours = _metadata(found.to_dict())
        return ours.get("charge") or ours.get("method_change", "")

    def charges_since(self, moment: datetime) -> Iterator[Told]:
        with _answers():
            listed = self._client.payment_intents.list(
                {
                    "created": {"gte": int(moment.timestamp())},
                    "limit": 100,
                    "expand": [f"data.{name}" for name in EXPANDED],
                }
            )
            for row in listed.auto_paging_iter():
                intent = row.to_dict()
                if "charge" in _metadata(intent):
                    yield self._told(intent, is_final=False)

    def refunds_since(self, moment: datetime) -> Iterator[Told]:
        with _answers():
            listed = self._client.refunds.list({"created": {"gte": int(moment.timestamp())}, "limit": 100})
            for refund in listed.auto_paging_iter():
                yield _told_of_refund(refund.to_dict())

    def _by_reference(self, reference: str) -> Told:
        """A charge is known by its session while that is open; afterwards, and without one, by its intent."""
        if reference.startswith("cs_"):
            page = self._client.checkout.sessions.retrieve(reference, {"expand": EXPANDED_IN_SESSION})
            session = page.to_dict()
            if session["payment_intent"] is None or session["status"] == "open":
                return _told_of_session(session)
            intent = session["payment_intent"]
        else:
            intent = self._client.payment_intents.retrieve(reference, {"expand": EXPANDED}).to_dict()
        return self._told(intent, is_final=True)

    def _intent_of(self, charge: Charge) -> str:
        """A paid charge is known by its intent."""
        return charge.reference

    def _told(self, intent: Any, *, is_final: bool) -> Told:
        """``is_final``: nobody sits before a page who could still give another card or confirm this one."""
        charged = intent["latest_charge"]
        returned_cents = 0
        if charged and charged.get("disputed"):
            disputes = self._client.disputes.list({"payment_intent": intent["id"], "limit": 100})
            returned_cents = sum(
                one.amount for one in disputes.data if one.status not in DISPUTES_WITHOUT_LOSS
            )
        failure = (intent.get("last_payment_error") or {}).get("message", "")
        outcome = _outcome_of(intent["status"], is_final=is_final)
        return Told(
            reference=intent["id"],
            order_id=_metadata(intent).get("charge", ""),
            outcome=outcome,
            amount_cents=intent["amount"],
            currency=intent["currency"].upper(),
            failure=failure or ("The bank wants the card holder to confirm." if outcome == "failed" else ""),
            fee_cents=_fee(charged),
            returned_cents=returned_cents,
            method=_method(intent["payment_method"]) if outcome == Outcome.PAID else None,
        )


def _outcome_of(status: str, *, is_final: bool) -> Outcome:
    if status == "succeeded":
        return Outcome.PAID
    if status == "canceled":
        return Outcome.CANCELLED
    return Outcome.FAILED if is_final and status.startswith("requires_") else Outcome.PENDING


def _told_of_session(session: Any) -> Told:
    return Told(
        reference=session["id"],
        order_id=_metadata(session).get("charge", ""),
        outcome=Outcome.CANCELLED if session["status"] == "expired" else Outcome.PENDING,
        amount_cents=session["amount_total"],
        currency=session["currency"].upper(),
        address=session.get("url") or "",
    )


def _told_of_method_page(session: Any) -> Told:
    """A page in setup mode: it charges nothing, so it has no amount."""
    intent = session.get("setup_intent")
    is_done = session["status"] == "complete" and intent is not None and intent["status"] == "succeeded"
    unfinished = Outcome.CANCELLED if session["status"] == "expired" else Outcome.PENDING
    return Told(
        reference=session["id"],
        order_id=_metadata(session).get("method_change", ""),
        outcome=Outcome.PAID if is_done else unfinished,
        amount_cents=0,
        currency=CURRENCY,
        method=_method(intent["payment_method"]) if is_done else None,
        address=session.get("url") or "",
    )


def _told_of_refund(refund: Any) -> Told:
    outcomes = {"succeeded": Outcome.PAID, "failed": Outcome.FAILED, "canceled": Outcome.CANCELLED}
    return Told(
        reference=refund["id"],
        order_id=_metadata(refund).get("refund", ""),
        outcome=outcomes.get(refund["status"], Outcome.PENDING),
        amount_cents=refund["amount"],
        currency=refund["currency"].upper(),
        failure=refund.get("failure_reason") or "",
    )


def _fee(charged: Any) -> int | None:
    booked = charged.get("balance_transaction") if charged else None
    return None if booked is None or isinstance(booked, str) else int(booked["fee"])


def _method(paid_with: Any) -> ToldMethod | None:
    if paid_with is None or isinstance(paid_with, str) or paid_with["type"] not in METHOD_KINDS:
        return None
    details = paid_with[paid_with["type"]]
    brand = str(details.get("brand") or "SEPA direct debit").replace("_", " ")
    named = brand if paid_with["type"] == "sepa_debit" else brand.title()
    return ToldMethod(
        METHOD_KINDS[paid_with["type"]], paid_with["id"], f"{named} ending in {details['last4']}"
    )


def _metadata(found: Any) -> dict[str, str]:
    return dict(found.get("metadata") or {})


def _ours(rows: Iterator[Any], name: str, order_id: str) -> Any | None:
    plain = (row.to_dict() for row in rows)
    return next((row for row in plain if _metadata(row).get(name) == order_id), None)


@contextmanager
def _answers() -> Iterator[None]:
    """What says nothing about the order means: ask again. What refuses the order itself goes through."""
    try:
        yield
    except (stripe.CardError, stripe.InvalidRequestError):
        raise
    except stripe.StripeError as error:
        raise ProviderDown(f"Stripe: {type(error).__name__} {error.http_status or ''}".strip()) from None
