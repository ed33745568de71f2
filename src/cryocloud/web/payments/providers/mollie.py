"""Mollie: iDEAL, cards and SEPA direct debit. The first payment leaves a mandate, later ones are taken by it.

Orders carry our id in their metadata and as idempotency key. Mollie forgets keys after an hour, so that before an order
is repeated, the customer's own list is searched for our id. Its messages are unsigned and tell an id only. What Mollie
keeps as its fee stands in the transactions of the balance alone, which no API key may read: a token of its own does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urljoin

from mollie.api.client import Client
from mollie.api.error import Error, NotFoundError, RequestSetupError, ResponseError, UnprocessableEntityError
from mollie.api.resources import BalanceTransactions

from cryocloud.web.billing.money import decimal
from cryocloud.web.configuration import configuration
from cryocloud.web.organizations.models import Organization
from cryocloud.web.payments.models import Charge, MethodChange, Refund
from cryocloud.web.payments.providers.base import Event, ForgedEvent, Outcome, ProviderDown, Told, ToldMethod
from cryocloud.web.terms import CURRENCY

WAIT_S = (4, 15)
EVENTS = "/api/v1/payments/events/mollie"
OUTCOMES = {
    "paid": Outcome.PAID,
    "failed": Outcome.FAILED,
    "expired": Outcome.CANCELLED,
    "canceled": Outcome.CANCELLED,
}
REFUND_OUTCOMES = {"refunded": Outcome.PAID, "failed": Outcome.FAILED, "canceled": Outcome.CANCELLED}
_PAYMENT = re.compile(r"tr_\w{1,60}", re.ASCII)


class Mollie:
    """Speaks to Mollie with one key, and with a token where fees are to be read."""

    name = "mollie"

    def __init__(self, key: str, url: str, reports_token: str = "") -> None:
        self._client: Any = Client(api_endpoint=url, timeout=WAIT_S, retry=0)
        self._client.set_api_key(key)
        self._reports: Any = None
        if reports_token:
            self._reports = Client(api_endpoint=url, timeout=WAIT_S, retry=0)
            self._reports.set_access_token(reports_token)
            self._reports.set_testmode(key.startswith("test_"))

    def make_payer(self, organization: Organization, email: str) -> str:
        wanted = {"name": organization.name, "metadata": {"organization": organization.pk}}
        if email:
            wanted["email"] = email
        with _answers():
            return str(
                self._client.customers.create(wanted, idempotency_key=f"payer-{organization.pk}")["id"]
            )

    def open_checkout(self, charge: Charge, payer: str, *, words: str, back_to: str) -> Told:
        back = urljoin(f"{configuration().address}/", back_to.lstrip("/"))
        first = {"description": words, "sequenceType": "first", "redirectUrl": back}
        return self._order("charge", charge.pk, charge.amount_cents, first | {"customerId": payer})

    def order_charge(self, charge: Charge, payer: str, *, words: str) -> Told:
        assert charge.method is not None
        by_mandate = {"sequenceType": "recurring", "mandateId": charge.method.mandate, "customerId": payer}
        try:
            return self._order("charge", charge.pk, charge.amount_cents, by_mandate | {"description": words})
        except UnprocessableEntityError as error:
            return Told("", charge.pk, Outcome.FAILED, charge.amount_cents, CURRENCY, failure=str(error))

    def look_up(self, charge: Charge, payer: str) -> Told | None:
        return self._look_up("charge", charge, payer)

    def open_method_page(self, change: MethodChange, payer: str, *, back_to: str) -> Told:
        """For cards only: of all first payments, Mollie takes those by card alone without an amount."""
        wanted = {
            "description": "Card for future invoices",
            "method": "creditcard",
            "sequenceType": "first",
            "redirectUrl": urljoin(f"{configuration().address}/", back_to.lstrip("/")),
            "customerId": payer,
        }
        try:
            return self._order("method_change", change.pk, 0, wanted)
        except UnprocessableEntityError as error:
            return Told("", change.pk, Outcome.FAILED, 0, CURRENCY, failure=str(error))

    def look_up_method(self, change: MethodChange, payer: str) -> Told | None:
        return self._look_up("method_change", change, payer)

    def cancel(self, page: Charge | MethodChange) -> None:
        try:
            with _answers():
                if self._client.payments.get(page.reference).get("isCancelable"):
                    self._client.payments.delete(page.reference)
        except (NotFoundError, UnprocessableEntityError):
            return  # it has ended meanwhile; what came of it is looked up

    def order_refund(self, refund: Refund, *, words: str) -> Told:
        wanted = {
            "amount": _amount(refund.amount_cents),
            "description": words,
            "metadata": {"refund": refund.pk},
        }
        try:
            with _answers():
                made = self._paid(refund).refunds.create(wanted, idempotency_key=refund.pk)
                return _told_of_refund(made)
        except UnprocessableEntityError as error:
            return Told("", refund.pk, Outcome.FAILED, refund.amount_cents, CURRENCY, failure=str(error))

    def look_up_refund(self, refund: Refund) -> Told | None:
        with _answers():
            made = _all(self._paid(refund).refunds.list(limit=250))
            found = next((one for one in made if _metadata(one).get("refund") == refund.pk), None)
            return _told_of_refund(found) if found else None

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        try:
            (subject,) = parse_qs(body.decode("ascii"), strict_parsing=True).get("id", [""])
        except ValueError:
            subject = ""
        if not _PAYMENT.fullmatch(subject):
            raise ForgedEvent("This is no message of Mollie: those have one field “id”, of a payment.")
        return Event(subject, "payment", subject)

    def order_of(self, subject: str) -> str:
        try:
            with _answers():
                return _order_id(self._client.payments.get(subject))
        except NotFoundError:
            return ""

    def charges_since(self, moment: datetime) -> Iterator[Told]:
        """With the fees that have been taken by now: for cards that is days after the payment."""
        fees = self._fees_since(moment)
        for payment in self._since(self._client.payments, moment):
            if "charge" in _metadata(payment):
                yield replace(_told(payment), fee_cents=fees.get(payment["id"]))

    def refunds_since(self, moment: datetime) -> Iterator[Told]:
        for refund in self._since(self._client.refunds, moment):
            yield _told_of_refund(refund)

    def _fees_since(self, moment: datetime) -> dict[str, int]:
        """What was deducted from each payment, by its reference; nothing where no token may read it."""
        if self._reports is None:
            return {}
        with _answers():
            balance = self._reports.balances.get("primary")
        booked = self._since(BalanceTransactions(self._reports, balance), moment)
        return {
            one["context"]["paymentId"]: -_cents(one.get("deductions"))
            for one in booked
            if one["type"] == "payment"
        }

    def _order(self, name: str, order_id: str, cents: int, how: Mapping[str, str]) -> Told:
        wanted = {"amount": _amount(cents), "metadata": {name: order_id}, **how}
        site = configuration()
        if site.is_https:
            wanted["webhookUrl"] = site.address + EVENTS
        with _answers():
            return _told(self._client.payments.create(wanted, idempotency_key=order_id))

    def _look_up(self, name: str, order: Charge | MethodChange, payer: str) -> Told | None:
        with _answers():
            if order.reference:
                return _told(self._client.payments.get(order.reference))
            made = _all(self._client.customers.get(payer).payments.list(limit=250))
            found = next((one for one in made if _metadata(one).get(name) == order.pk), None)
            return _told(found) if found else None

    def _paid(self, refund: Refund) -> Any:
        assert refund.charge is not None
        return self._client.payments.get(refund.charge.reference)

    def _since(self, resource: Any, moment: datetime) -> Iterator[Any]:
        """Lists are newest first."""
        with _answers():
            for one in _all(resource.list(limit=250)):
                if datetime.fromisoformat(one["createdAt"]) < moment:
                    return
                yield one


def _told(payment: Any) -> Told:
    outcome = OUTCOMES.get(payment["status"], Outcome.PENDING)
    if outcome == Outcome.CANCELLED and payment.get("sequenceType") == "recurring":
        outcome = Outcome.FAILED
    checkout = (payment.get("_links") or {}).get("checkout") or {}
    details = payment.get("details") or {}
    return Told(
        reference=payment["id"],
        order_id=_order_id(payment),
        outcome=outcome,
        amount_cents=_cents(payment["amount"]),
        currency=payment["amount"]["currency"],
        failure=details.get("failureMessage") or details.get("bankReason") or "",
        returned_cents=_cents(payment.get("amountChargedBack")),
        method=_method(payment, details) if outcome == Outcome.PAID else None,
        address=checkout.get("href", ""),
    )


def _told_of_refund(refund: Any) -> Told:
    return Told(
        reference=refund["id"],
        order_id=_metadata(refund).get("refund", ""),
        outcome=REFUND_OUTCOMES.get(refund["status"], Outcome.PENDING),
        amount_cents=_cents(refund["amount"]),
        currency=refund["amount"]["currency"],
    )


def _method(payment: Any, details: Mapping[str, str]) -> ToldMethod | None:
    """IDEAL and its like leave a mandate for direct debit from the account that paid."""
    mandate = payment.get("mandateId")
    if not mandate:
        return None
    if payment.get("method") == "creditcard":
        brand = details.get("cardLabel") or "Card"
        return ToldMethod("card", mandate, f"{brand} ending in {details.get('cardNumber', '')[-4:]}")
    account = details.get("consumerAccount", "")
    return ToldMethod("direct_debit", mandate, f"SEPA direct debit, account ending in {account[-4:]}")


def _amount(cents: int) -> dict[str, str]:
    return {"currency": CURRENCY, "value": decimal(cents)}


def _cents(amount: Any) -> int:
    if not amount:
        return 0
    whole, _, parts = amount["value"].lstrip("-").partition(".")
    cents = int(whole) * 100 + int(parts or 0)
    return -cents if amount["value"].startswith("-") else cents


def _order_id(payment: Any) -> str:
    ours = _metadata(payment)
    return ours.get("charge") or ours.get("method_change", "")


def _metadata(found: Any) -> dict[str, str]:
    return dict(found.get("metadata") or {})


def _all(page: Any) -> Iterator[Any]:
    while True:
        yield from page
        if not page.has_next():
            return
        page = page.get_next()


@contextmanager
def _answers() -> Iterator[None]:
    """What says nothing about the order means: ask again. What refuses the order itself goes through."""
    try:
        yield
    except (UnprocessableEntityError, NotFoundError, RequestSetupError):
        raise
    except ResponseError as error:
        raise ProviderDown(f"Mollie: {error.status}") from None
    except Error as error:
        raise ProviderDown(f"Mollie: {type(error).__name__}") from None
