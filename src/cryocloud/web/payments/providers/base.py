"""What the platform asks of a payment provider. Whatever one says is a ``Told``; whoever books decides what follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cryocloud.web.organizations.models import Organization
    from cryocloud.web.payments.models import Charge, MethodChange, Refund


class Outcome(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class ToldMethod:
    """What the customer has paid with and may be charged by later."""

    kind: str
    mandate: str
    words: str


@dataclass(frozen=True)
class Told:
    """A charge, refund or change of the method as the provider has it. ``order_id`` is the id that we gave to it."""

    reference: str
    order_id: str
    outcome: Outcome
    amount_cents: int
    currency: str
    failure: str = ""
    fee_cents: int | None = None
    returned_cents: int = 0
    method: ToldMethod | None = None
    address: str = ""


@dataclass(frozen=True)
class Event:
    """A message of a provider whose origin is certain, or that will be looked up: it proves nothing itself."""

    event_id: str
    kind: str
    subject: str
    """What the provider calls the thing that it is about."""


class ProviderDown(Exception):
    """No answer, or none that tells whether the order was carried out: ask again later, with the same id."""


class ForgedEvent(Exception):
    """Not from the provider, too old, or no message of its kind."""


class Provider(Protocol):
    """A provider that takes money by itself. Orders carry our id, so that sent again they have one effect."""

    name: str

    def make_payer(self, organization: Organization, email: str) -> str: ...

    def open_checkout(self, charge: Charge, payer: str, *, words: str, back_to: str) -> Told:
        """A page on which the customer pays and leaves a method for later."""

    def order_charge(self, charge: Charge, payer: str, *, words: str) -> Told:
        """Take the money by the charge's method."""

    def look_up(self, charge: Charge, payer: str) -> Told | None:
        """The charge by its reference, or by our id among those of the payer; None: it never arrived."""

    def open_method_page(self, change: MethodChange, payer: str, *, back_to: str) -> Told:
        """A page on which the customer leaves a method for later, and pays nothing; of no cents."""

    def look_up_method(self, change: MethodChange, payer: str) -> Told | None:
        """What came of such a page; None: the order never arrived."""

    def cancel(self, page: Charge | MethodChange) -> None:
        """Ask that a page can no longer be used; what came of it, a look-up tells."""

    def order_refund(self, refund: Refund, *, words: str) -> Told: ...

    def look_up_refund(self, refund: Refund) -> Told | None: ...

    def read_event(self, body: bytes, headers: Mapping[str, str]) -> Event:
        """Raises ``ForgedEvent``."""

    def order_of(self, subject: str) -> str:
        """Our id of the charge or change that an event is about, as the provider has it; empty for what is not ours."""

    def charges_since(self, moment: datetime) -> Iterator[Told]: ...

    def refunds_since(self, moment: datetime) -> Iterator[Told]: ...
