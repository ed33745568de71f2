"""Stripe's dialect of the provider on loopback: forms in, objects out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import stripe

if TYPE_CHECKING:
    from payment_double import PaymentDouble, SentBack, Taken

WEBHOOK_SECRET = "whsec_test"
Answer = tuple[int, Any]
GONE = (
    404,
    {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such object"}},
)


def answer(double: PaymentDouble, method: str, path: str, query: dict[str, str], body: str) -> Answer:
    given = dict(parse_qsl(body)) if method == "POST" else query
    for wanted, pattern, act in ROUTES:
        found = re.fullmatch(pattern, path)
        if found and wanted == method:
            return act(double, given, *found.groups())
    return GONE


def stripe_event(
    subject: dict[str, Any], kind: str = "payment_intent.succeeded", event_id: str = "evt_1"
) -> tuple[bytes, dict[str, str]]:
    """A message as Stripe signs it."""
    content = {
        "id": event_id,
        "object": "event",
        "type": kind,
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": subject},
    }
    body = json.dumps(content)
    signed = stripe.WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET)
    return body.encode(), {"Stripe-Signature": signed, "Content-Type": "application/json"}


def _customer(double: PaymentDouble, form: dict[str, str]) -> Answer:
    made = double.new_id("cus_")
    double.payers[made] = form.get("metadata[organization]", "")
    return 200, {"id": made, "object": "customer"}


def _new_session(double: PaymentDouble, form: dict[str, str]) -> Answer:
    if form["mode"] == "setup":
        taken = double.order(
            "stripe", form["metadata[method_change]"], form["customer"], 0, form["currency"], kind="method"
        )
        return 200, _session(double, taken)
    price = "line_items[0][price_data]"
    taken = double.order(
        "stripe", form["metadata[charge]"], form["customer"], int(form[f"{price}[unit_amount]"]),
        form[f"{price}[currency]"], kind="checkout",
    )  # fmt: skip
    return 200, _session(double, taken)


def _sessions(double: PaymentDouble, query: dict[str, str]) -> Answer:
    rows = [one for one in double.taken.values() if one.session and one.payer == query["customer"]]
    return 200, _list("/v1/checkout/sessions", [_session(double, one) for one in reversed(rows)])


def _one_session(double: PaymentDouble, _: dict[str, str], reference: str, verb: str = "") -> Answer:
    page = next((one for one in double.taken.values() if one.session == reference), None)
    if page is None:
        return GONE
    if verb == "/expire":
        if page.status != "open":
            return _refusal("Only open sessions can be expired.")
        page.status = "cancelled"
    return 200, _session(double, page)


def _new_intent(double: PaymentDouble, form: dict[str, str]) -> Answer:
    taken = double.order(
        "stripe", form["metadata[charge]"], form["customer"], int(form["amount"]), form["currency"],
        kind="charge", mandate=form["payment_method"],
    )  # fmt: skip
    shown = _intent(double, taken)
    if taken.status != "failed":
        return 200, shown
    error = {"type": "card_error", "code": "card_declined", "message": taken.failure, "payment_intent": shown}
    return 402, {"error": error}


def _intents(double: PaymentDouble, query: dict[str, str]) -> Answer:
    since = float(query.get("created[gte]", 0))
    own = [one for one in double.taken.values() if one.dialect == "stripe" and one.kind != "method"]
    rows = [one for one in own if one.made_at >= since - 1]
    rows = [one for one in rows if query.get("customer", one.payer) == one.payer and one.status != "open"]
    return 200, _list("/v1/payment_intents", [_intent(double, one) for one in reversed(rows)])


def _one_intent(double: PaymentDouble, _: dict[str, str], reference: str) -> Answer:
    found = double.taken.get(reference)
    return (200, _intent(double, found)) if found else GONE


def _new_refund(double: PaymentDouble, form: dict[str, str]) -> Answer:
    charge = double.taken.get(form["payment_intent"])
    sent = charge and double.send_back("stripe", form["metadata[refund]"], charge, int(form["amount"]))
    return (200, _refund(sent)) if sent else _refusal("This charge cannot be refunded.")


def _refunds(double: PaymentDouble, query: dict[str, str]) -> Answer:
    rows = [one for one in double.refunds.values() if one.dialect == "stripe"]
    wanted = query.get("payment_intent")
    return 200, _list("/v1/refunds", [_refund(one) for one in rows if wanted in (None, one.charge)])


def _one_refund(double: PaymentDouble, _: dict[str, str], reference: str) -> Answer:
    found = double.refunds.get(reference)
    return (200, _refund(found)) if found else GONE


def _disputes(double: PaymentDouble, query: dict[str, str]) -> Answer:
    charge = double.taken[query["payment_intent"]]
    row = {"id": "dp_1", "object": "dispute", "amount": charge.returned_cents, "status": "lost"}
    return 200, _list("/v1/disputes", [row] if charge.returned_cents else [])


ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("POST", "/v1/customers", _customer),
    ("POST", "/v1/checkout/sessions", _new_session),
    ("GET", "/v1/checkout/sessions", _sessions),
    ("GET", r"/v1/checkout/sessions/(\w+)", _one_session),
    ("POST", r"/v1/checkout/sessions/(\w+)(/expire)", _one_session),
    ("POST", "/v1/payment_intents", _new_intent),
    ("GET", "/v1/payment_intents", _intents),
    ("GET", r"/v1/payment_intents/(\w+)", _one_intent),
    ("POST", "/v1/refunds", _new_refund),
    ("GET", "/v1/refunds", _refunds),
    ("GET", r"/v1/refunds/(\w+)", _one_refund),
    ("GET", "/v1/disputes", _disputes),
)


def _refusal(words: str) -> Answer:
    return 400, {"error": {"type": "invalid_request_error", "message": words}}


def _session(double: PaymentDouble, taken: Taken) -> dict[str, Any]:
    status = {"open": "open", "cancelled": "expired"}.get(taken.status, "complete")
    if taken.kind == "method":
        return {
            "id": taken.session,
            "object": "checkout.session",
            "mode": "setup",
            "status": status,
            "amount_total": None,
            "currency": taken.currency.lower(),
            "metadata": {"method_change": taken.order_id},
            "payment_intent": None,
            "setup_intent": {
                "id": f"seti_{taken.reference}",
                "object": "setup_intent",
                "status": "succeeded",
                "payment_method": _method(double, taken),
            }
            if status == "complete"
            else None,
            "url": f"{double.address}/pay/{taken.session}" if status == "open" else None,
        }
    return {
        "id": taken.session,
        "object": "checkout.session",
        "status": status,
        "amount_total": taken.cents,
        "currency": taken.currency.lower(),
        "metadata": {"charge": taken.order_id},
        "payment_intent": _intent(double, taken) if status == "complete" else None,
        "url": f"{double.address}/pay/{taken.session}" if status == "open" else None,
    }


def _intent(double: PaymentDouble, taken: Taken) -> dict[str, Any]:
    statuses = {"paid": "succeeded", "pending": "processing", "cancelled": "canceled"}
    is_paid = taken.status == "paid"
    return {
        "id": taken.reference,
        "object": "payment_intent",
        "status": statuses.get(taken.status, "requires_payment_method"),
        "amount": taken.cents,
        "currency": taken.currency.lower(),
        "created": int(taken.made_at),
        "customer": taken.payer,
        "metadata": {"charge": taken.order_id},
        "last_payment_error": {"message": taken.failure} if taken.failure else None,
        "payment_method": _method(double, taken),
        "latest_charge": {
            "id": f"ch_{taken.reference}",
            "object": "charge",
            "disputed": taken.returned_cents > 0,
            "balance_transaction": {"object": "balance_transaction", "id": "txn_1", "fee": taken.fee_cents},
        }
        if is_paid
        else None,
    }


def _method(double: PaymentDouble, taken: Taken) -> dict[str, Any]:
    kind = "sepa_debit" if double.takes_days else "card"
    details = {"last4": taken.last4} | ({"brand": "visa"} if kind == "card" else {})
    return {"id": taken.mandate, "object": "payment_method", "type": kind, kind: details}


def _refund(sent: SentBack) -> dict[str, Any]:
    return {
        "id": sent.reference,
        "object": "refund",
        "status": {"done": "succeeded"}.get(sent.status, sent.status),
        "amount": sent.cents,
        "currency": "eur",
        "payment_intent": sent.charge,
        "metadata": {"refund": sent.order_id},
    }


def _list(path: str, rows: list[Any]) -> dict[str, Any]:
    return {"object": "list", "url": path, "has_more": False, "data": rows}
