"""A payment provider on loopback that speaks as much of Stripe's and of Mollie's API as the platform uses.

One store serves both dialects. Orders are carried out once a key, as both providers do; ``faults`` holds what is to go
wrong with the next orders: "down" (503, nothing done), "lost" (carried out, the line is cut before the answer), "slow".
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import payment_dialect_mollie
import payment_dialect_stripe

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
    kind: str  # checkout, charge, method: a page on which nothing is paid
    dialect: str
    mandate: str = ""
    session: str = ""
    returned_cents: int = 0
    fee_cents: int = FEE_CENTS
    failure: str = ""
    last4: str = "4242"
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
        self.fees_are_taken = True
        self.tokens: set[str] = set()
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

    def pay(self, order_id: str, last4: str = "4242") -> Taken:
        """The customer pays on the page of a checkout, or leaves a card there."""
        (one,) = self.of_order(order_id)
        one.last4 = last4
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
        status = "open" if kind != "charge" else "pending" if self.takes_days else "paid"
        taken = Taken(
            self.new_id(prefix), order_id, payer, cents, currency.upper(), status, kind, dialect, **more
        )
        if kind != "charge" and dialect == "stripe":
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


DOWN = {"error": {"type": "api_error", "message": "down"}, "status": 503, "title": "Down", "detail": "down"}


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
                if parts.path.startswith("/v2/balances"):
                    double.tokens.add(self.headers["Authorization"])
                fault = "down" if double.is_down else ""
                if method == "POST" and not fault and double.faults:
                    fault = double.faults.popleft()
                if fault == "down":
                    return self._answer(503, DOWN)
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
            dialect = payment_dialect_stripe if path.startswith("/v1/") else payment_dialect_mollie
            found = dialect.answer(double, method, path, query, body)
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
