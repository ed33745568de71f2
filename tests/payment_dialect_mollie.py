"""Mollie's dialect of the provider on loopback: JSON in, resources out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payment_double import PaymentDouble, SentBack, Taken

Answer = tuple[int, Any]
ZERO_BY = "creditcard"
GONE = 404, {"status": 404, "title": "Not Found", "detail": "No such object"}


def answer(double: PaymentDouble, method: str, path: str, _: dict[str, str], body: str) -> Answer:
    for wanted, pattern, act in ROUTES:
        found = re.fullmatch(pattern, path)
        if found and wanted == method:
            return act(double, json.loads(body or "{}"), *found.groups())
    return GONE


def _new_customer(double: PaymentDouble, given: Any) -> Answer:
    made = double.new_id("cst_")
    double.payers[made] = given.get("metadata", {}).get("organization", "")
    return 201, {"resource": "customer", "id": made}


def _customer(_: PaymentDouble, __: Any, reference: str) -> Answer:
    return 200, {"resource": "customer", "id": reference}


def _payments(double: PaymentDouble, _: Any, payer: str = "") -> Answer:
    own = [one for one in double.taken.values() if one.dialect == "mollie" and payer in ("", one.payer)]
    return 200, _page("payments", [_payment(double, one) for one in reversed(own)])


def _new_payment(double: PaymentDouble, given: Any) -> Answer:
    kind = "checkout" if given["sequenceType"] == "first" else "charge"
    cents, (ours, order_id) = _cents(given["amount"]), given["metadata"].popitem()
    if ours == "method_change":
        kind = "method"
    if cents == 0 and given.get("method") != ZERO_BY:
        return 422, {
            "status": 422,
            "title": "Unprocessable Entity",
            "detail": "The amount is lower than the minimum",
        }
    taken = double.order(
        "mollie", order_id, given["customerId"], cents,
        given["amount"]["currency"], kind=kind, mandate=given.get("mandateId", ""),
    )  # fmt: skip
    return 201, _payment(double, taken)


def _one_payment(double: PaymentDouble, _: Any, reference: str) -> Answer:
    found = double.taken.get(reference)
    return (200, _payment(double, found)) if found else GONE


def _cancel(double: PaymentDouble, _: Any, reference: str) -> Answer:
    double.taken[reference].status = "cancelled"
    return 200, _payment(double, double.taken[reference])


def _new_refund(double: PaymentDouble, given: Any, reference: str) -> Answer:
    charge = double.taken[reference]
    sent = double.send_back("mollie", given["metadata"]["refund"], charge, _cents(given["amount"]))
    if sent is None:
        return 422, {
            "status": 422,
            "title": "Unprocessable Entity",
            "detail": "The amount is higher than what is left",
        }
    return 201, _refund(sent)


def _refunds(double: PaymentDouble, _: Any, charge: str = "") -> Answer:
    rows = [one for one in double.refunds.values() if one.dialect == "mollie" and charge in ("", one.charge)]
    return 200, _page("refunds", [_refund(one) for one in rows])


def _balance(_: PaymentDouble, __: Any) -> Answer:
    return 200, {"resource": "balance", "id": "bal_1", "currency": "EUR"}


def _transactions(double: PaymentDouble, _: Any) -> Answer:
    """Fees are taken once a payment is available, for cards days later."""
    paid = [one for one in double.taken.values() if one.dialect == "mollie" and one.status == "paid"]
    rows = [_transaction(one) for one in reversed(paid) if double.fees_are_taken and one.kind != "method"]
    return 200, _page("balance_transactions", rows)


def _transaction(taken: Taken) -> dict[str, Any]:
    fee = _amount(taken.fee_cents, taken.currency)
    return {
        "resource": "balance_transaction",
        "id": f"baltr_{taken.reference}",
        "type": "payment",
        "initialAmount": _amount(taken.cents, taken.currency),
        "deductions": fee | {"value": f"-{fee['value']}"},
        "resultAmount": _amount(taken.cents - taken.fee_cents, taken.currency),
        "context": {"paymentId": taken.reference},
        "createdAt": _moment(taken.made_at),
    }


ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("POST", "/v2/customers", _new_customer),
    ("GET", r"/v2/customers/(\w+)", _customer),
    ("GET", r"/v2/customers/(\w+)/payments", _payments),
    ("POST", "/v2/payments", _new_payment),
    ("GET", "/v2/payments", _payments),
    ("GET", r"/v2/payments/(\w+)", _one_payment),
    ("DELETE", r"/v2/payments/(\w+)", _cancel),
    ("POST", r"/v2/payments/(\w+)/refunds", _new_refund),
    ("GET", r"/v2/payments/(\w+)/refunds", _refunds),
    ("GET", "/v2/refunds", _refunds),
    ("GET", "/v2/balances/primary", _balance),
    ("GET", "/v2/balances/bal_1/transactions", _transactions),
)


def _payment(double: PaymentDouble, taken: Taken) -> dict[str, Any]:
    status = {"cancelled": "canceled"}.get(taken.status, taken.status)
    page = {"checkout": {"href": f"{double.address}/pay/{taken.reference}", "type": "text/html"}}
    found: dict[str, Any] = {
        "resource": "payment",
        "id": taken.reference,
        "status": status,
        "amount": _amount(taken.cents, taken.currency),
        "createdAt": _moment(taken.made_at),
        "customerId": taken.payer,
        "sequenceType": "recurring" if taken.kind == "charge" else "first",
        "isCancelable": taken.status == "open",
        "metadata": {"method_change" if taken.kind == "method" else "charge": taken.order_id},
        "method": "creditcard",
        "details": {"cardLabel": "Visa", "cardNumber": taken.last4, "failureMessage": taken.failure},
        "mandateId": taken.mandate or None,
        "_links": page if taken.status == "open" else {},
    }
    if taken.returned_cents:
        found["amountChargedBack"] = _amount(taken.returned_cents, taken.currency)
    return found


def _refund(sent: SentBack) -> dict[str, Any]:
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
