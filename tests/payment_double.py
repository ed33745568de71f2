"""A payment provider on loopback that speaks as much of Stripe's and of Mollie's API as the platform uses.

One store serves both dialects. Orders are carried out once a key, as both providers do; ``faults`` holds what is to go
wrong with the next orders: "down" (503, nothing done), "lost" (carried out, the line is cut before the answer), "slow".
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import stripe

WEBHOOK_SECRET = "whsec_test"
FEE_CENTS = 35
SLOW_S = 2.0


@dataclass
class Taken:
    """A charge as the provider has it; for Stripe's checkouts ``session`` is the page."""

    reference: str
    order_id: str
    payer: str
    cents: int
    currency: str
    status: str  # open, pending, paid, failed, cancelled
    kind: str  # checkout, charge
    dialect: str
    mandate: str = ""
    session: str = ""
    returned_cents: int = 0
    fee_cents: int = FEE_CENTS
    failure: str = ""
    made_at: float = field(default_factory=time.time)


@dataclass
class SentBack:
    reference: str
    order_id: str
    charge: str
    cents: int
    status: str
    dialect: str
    made_at: float = field(default_factory=time.time)


class PaymentDouble:
    """The provider and its controls: what customers, banks and bad days do."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.payers: dict[str, str] = {}
        self.taken: dict[str, Taken] = {}
        self.refunds: dict[str, SentBack] = {}
        self.answers: dict[str, tuple[int, Any]] = {}
        self.faults: deque[str] = deque()
        self.is_down = False
        self.declines: deque[str] = deque()
        self.takes_days = False  # direct debit: pending first
        self.refunds_take_days = False
        self.orders: list[str] = []
        self._numbers = iter(range(1, 10**6))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forget_keys(self) -> None:
        """As after a day with Stripe, an hour with Mollie."""
        self.answers.clear()

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers):06d}"

    def of_order(self, order_id: str) -> list[Taken]:
        return [one for one in self.taken.values() if one.order_id == order_id]

    def pay(self, order_id: str) -> Taken:
        """The customer pays on the page of a checkout."""
        (one,) = self.of_order(order_id)
        one.status, one.mandate = "paid", one.mandate or self.new_id(_MANDATES[one.dialect])
        return one

    def finish(self, order_id: str, status: str) -> Taken:
        """Direct debit came to an end, a page expired, and so on."""
        (one,) = self.of_order(order_id)
        one.status = status
        return one

    def take_back(self, order_id: str, cents: int) -> Taken:
        (one,) = self.of_order(order_id)
        one.returned_cents = cents
        return one

    def order(self, dialect: str, order_id: str, payer: str, cents: int, currency: str, **more: Any) -> Taken:
        kind = more.pop("kind")
        prefix = {"stripe": "pi_", "mollie": "tr_"}[dialect]
        status = "open" if kind == "checkout" else "pending" if self.takes_days else "paid"
        taken = Taken(
            self.new_id(prefix), order_id, payer, cents, currency.upper(), status, kind, dialect, **more
        )
        if kind == "checkout" and dialect == "stripe":
            taken.session = self.new_id("cs_")
        if kind == "charge" and self.declines:
            taken.status, taken.failure = "failed", self.declines.popleft()
        self.taken[taken.reference] = taken
        return taken

    def send_back(self, dialect: str, order_id: str, charge: Taken, cents: int) -> SentBack | None:
        gone = sum(
            one.cents
            for one in self.refunds.values()
            if one.charge == charge.reference and one.status != "failed"
        )
        if charge.status != "paid" or gone + cents > charge.cents:
            return None
        prefix = {"stripe": "re_", "mollie": "re_"}[dialect]
        status = "pending" if self.refunds_take_days else "done"
        made = SentBack(self.new_id(prefix), order_id, charge.reference, cents, status, dialect)
        self.refunds[made.reference] = made
        return made

    @property
    def kept_cents(self) -> int:
        """What the provider holds for the seller, without fees."""
        came = sum(one.cents - one.returned_cents for one in self.taken.values() if one.status == "paid")
        return came - sum(one.cents for one in self.refunds.values() if one.status == "done")


_MANDATES = {"stripe": "pm_", "mollie": "mdt_"}


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


def _handler(double: PaymentDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def log_message(self, *_: object) -> None:
            return

        def _serve(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            parts = urlsplit(self.path)
            with double.lock:
                fault = "down" if double.is_down else ""
                if method == "POST" and not fault and double.faults:
                    fault = double.faults.popleft()
                if fault == "down":
                    return self._answer(503, _DOWN)
                status, content = self._once(method, parts.path, dict(parse_qsl(parts.query)), body)
            if fault == "lost":
                self.close_connection = True
                self.connection.close()
                return None
            if fault == "slow":
                time.sleep(SLOW_S)
            return self._answer(status, content)

        def _once(self, method: str, path: str, query: dict[str, str], body: str) -> tuple[int, Any]:
            key = self.headers.get("Idempotency-Key", "") and f"{path[:3]} {self.headers['Idempotency-Key']}"
            if method == "POST" and key in double.answers:
                return double.answers[key]
            found = (_stripe if path.startswith("/v1/") else _mollie)(double, method, path, query, body)
            if method == "POST" and key:
                double.answers[key] = found
                double.orders.append(f"{path} {key}")
            return found

        def _answer(self, status: int, content: Any) -> None:
            sent = b"" if status == 204 else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

    return Handler


_DOWN = {"error": {"type": "api_error", "message": "down"}, "status": 503, "title": "Down", "detail": "down"}
_GONE = {
    "error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such object"},
    "status": 404,
    "title": "Not Found",
    "detail": "No such object",
}


def _refusal(words: str) -> dict[str, Any]:
    error = {"type": "invalid_request_error", "message": words}
    return {"error": error, "status": 422, "title": "Unprocessable Entity", "detail": words}


# --- Stripe ---------------------------------------------------------------------------------------------------------


def _stripe(
    double: PaymentDouble, method: str, path: str, query: dict[str, str], body: str
) -> tuple[int, Any]:
    form, parts = dict(parse_qsl(body)), path.removeprefix("/v1/").split("/")
    match [method, *parts]:
        case ["POST", "customers"]:
            made = double.new_id("cus_")
            double.payers[made] = form.get("metadata[organization]", "")
            return 200, {"id": made, "object": "customer"}
        case ["POST", "checkout", "sessions"]:
            taken = double.order(
                "stripe", form["metadata[charge]"], form["customer"],
                int(form["line_items[0][price_data][unit_amount]"]),
                form["line_items[0][price_data][currency]"], kind="checkout",
            )  # fmt: skip
            return 200, _session(double, taken)
        case ["GET", "checkout", "sessions"]:
            rows = [one for one in double.taken.values() if one.session and one.payer == query["customer"]]
            return 200, _list(path, [_session(double, one) for one in reversed(rows)])
        case [_, "checkout", "sessions", reference, *rest]:
            page = next((one for one in double.taken.values() if one.session == reference), None)
            if page is None:
                return 404, _GONE
            if rest == ["expire"]:
                if page.status != "open":
                    return 400, _refusal("Only open sessions can be expired.")
                page.status = "cancelled"
            return 200, _session(double, page)
        case ["POST", "payment_intents"]:
            return _stripe_order(double, form)
        case ["GET", "payment_intents"]:
            since = float(query.get("created[gte]", 0))
            rows = [
                one for one in double.taken.values() if one.dialect == "stripe" and one.made_at >= since - 1
            ]
            rows = [
                one for one in rows if query.get("customer", one.payer) == one.payer and one.status != "open"
            ]
            return 200, _list(path, [_intent(double, one) for one in reversed(rows)])
        case [_, "payment_intents", reference, *_]:
            one = double.taken.get(reference)
            return (200, _intent(double, one)) if one else (404, _GONE)
        case ["POST", "refunds"]:
            one = double.taken.get(form["payment_intent"])
            sent = one and double.send_back("stripe", form["metadata[refund]"], one, int(form["amount"]))
            return (200, _stripe_refund(sent)) if sent else (400, _refusal("This charge cannot be refunded."))
        case ["GET", "refunds"]:
            rows2 = [one for one in double.refunds.values() if one.dialect == "stripe"]
            wanted = query.get("payment_intent")
            rows2 = [one for one in rows2 if wanted in (None, one.charge)]
            return 200, _list(path, [_stripe_refund(one) for one in rows2])
        case ["GET", "refunds", reference]:
            found = double.refunds.get(reference)
            return (200, _stripe_refund(found)) if found else (404, _GONE)
        case ["GET", "disputes"]:
            one = double.taken[query["payment_intent"]]
            row = {"id": "dp_1", "object": "dispute", "amount": one.returned_cents, "status": "lost"}
            return 200, _list(path, [row] if one.returned_cents else [])
    return 404, _GONE


def _stripe_order(double: PaymentDouble, form: dict[str, str]) -> tuple[int, Any]:
    taken = double.order(
        "stripe", form["metadata[charge]"], form["customer"], int(form["amount"]), form["currency"],
        kind="charge", mandate=form["payment_method"],
    )  # fmt: skip
    shown = _intent(double, taken)
    if taken.status != "failed":
        return 200, shown
    error = {"type": "card_error", "code": "card_declined", "message": taken.failure, "payment_intent": shown}
    return 402, {"error": error}


def _session(double: PaymentDouble, taken: Taken) -> dict[str, Any]:
    status = {"open": "open", "cancelled": "expired"}.get(taken.status, "complete")
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
    kind = "sepa_debit" if double.takes_days else "card"
    details = {"last4": "4242"} | ({"brand": "visa"} if kind == "card" else {})
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
        "payment_method": {"id": taken.mandate, "object": "payment_method", "type": kind, kind: details},
        "latest_charge": {
            "id": f"ch_{taken.reference}",
            "object": "charge",
            "disputed": taken.returned_cents > 0,
            "balance_transaction": {"object": "balance_transaction", "id": "txn_1", "fee": taken.fee_cents},
        }
        if is_paid
        else None,
    }


def _stripe_refund(sent: SentBack) -> dict[str, Any]:
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


# --- Mollie ---------------------------------------------------------------------------------------------------------


def _mollie(
    double: PaymentDouble, method: str, path: str, query: dict[str, str], body: str
) -> tuple[int, Any]:
    given, parts = json.loads(body or "{}"), path.removeprefix("/v2/").split("/")
    own = [one for one in double.taken.values() if one.dialect == "mollie"]
    match [method, *parts]:
        case ["POST", "customers"]:
            made = double.new_id("cst_")
            double.payers[made] = given.get("metadata", {}).get("organization", "")
            return 201, {"resource": "customer", "id": made}
        case ["GET", "customers", reference]:
            return 200, {"resource": "customer", "id": reference}
        case ["GET", "customers", reference, "payments"]:
            rows = [_mollie_payment(double, one) for one in reversed(own) if one.payer == reference]
            return 200, _page("payments", rows)
        case ["POST", "payments"]:
            is_first = given["sequenceType"] == "first"
            taken = double.order(
                "mollie", given["metadata"]["charge"], given["customerId"], _cents(given["amount"]),
                given["amount"]["currency"], kind="checkout" if is_first else "charge",
                mandate=given.get("mandateId", ""),
            )  # fmt: skip
            return 201, _mollie_payment(double, taken)
        case ["GET", "payments"]:
            return 200, _page("payments", [_mollie_payment(double, one) for one in reversed(own)])
        case ["GET", "payments", reference]:
            one = double.taken.get(reference)
            return (200, _mollie_payment(double, one)) if one else (404, _GONE)
        case ["DELETE", "payments", reference]:
            double.taken[reference].status = "cancelled"
            return 200, _mollie_payment(double, double.taken[reference])
        case ["POST", "payments", reference, "refunds"]:
            cents = _cents(given["amount"])
            sent = double.send_back("mollie", given["metadata"]["refund"], double.taken[reference], cents)
            return (
                (201, _mollie_refund(sent))
                if sent
                else (422, _refusal("The amount is higher than what is left"))
            )
        case ["GET", "payments", reference, "refunds"]:
            rows = [_mollie_refund(one) for one in double.refunds.values() if one.charge == reference]
            return 200, _page("refunds", rows)
        case ["GET", "refunds"]:
            rows = [_mollie_refund(one) for one in double.refunds.values() if one.dialect == "mollie"]
            return 200, _page("refunds", rows)
    return 404, _GONE


def _mollie_payment(double: PaymentDouble, taken: Taken) -> dict[str, Any]:
    status = {"cancelled": "canceled"}.get(taken.status, taken.status)
    page = {"checkout": {"href": f"{double.address}/pay/{taken.reference}", "type": "text/html"}}
    found: dict[str, Any] = {
        "resource": "payment",
        "id": taken.reference,
        "status": status,
        "amount": _amount(taken.cents, taken.currency),
        "createdAt": _moment(taken.made_at),
        "customerId": taken.payer,
        "sequenceType": "first" if taken.kind == "checkout" else "recurring",
        "isCancelable": taken.status == "open",
        "metadata": {"charge": taken.order_id},
        "method": "creditcard",
        "details": {"cardLabel": "Visa", "cardNumber": "4242", "failureMessage": taken.failure},
        "mandateId": taken.mandate or None,
        "_links": page if taken.status == "open" else {},
    }
    if taken.returned_cents:
        found["amountChargedBack"] = _amount(taken.returned_cents, taken.currency)
    return found


def _mollie_refund(sent: SentBack) -> dict[str, Any]:
    return {
        "resource": "refund",
        "id": sent.reference,
        "paymentId": sent.charge,
        "status": {"done": "refunded"}.get(sent.status, sent.status),
        "amount": _amount(sent.cents, "EUR"),
        "createdAt": _moment(sent.made_at),
        "metadata": {"refund": sent.order_id},
    }


def _page(name: str, rows: list[Any]) -> dict[str, Any]:
    return {"count": len(rows), "_embedded": {name: rows}, "_links": {"next": None, "previous": None}}


def _amount(cents: int, currency: str) -> dict[str, str]:
    return {"currency": currency, "value": f"{cents // 100}.{cents % 100:02d}"}


def _cents(amount: dict[str, str]) -> int:
    return int(re.sub(r"\D", "", amount["value"]))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
