"""Prices as people see them: a business without VAT, a private person with it."""

from __future__ import annotations

from dataclasses import dataclass

from cryocloud.web.billing.customers import known_customer
from cryocloud.web.billing.invoicing import vat_for
from cryocloud.web.billing.models import Customer
from cryocloud.web.billing.money import spoken
from cryocloud.web.billing.vat import Vat
from cryocloud.web.organizations.models import Organization


@dataclass(frozen=True)
class Prices:
    """How amounts are said to one customer; to one who is not known yet, without VAT."""

    vat: Vat | None
    with_vat: bool

    def words(self, net_cents: int) -> str:
        if self.with_vat and self.vat is not None:
            return f"{spoken(net_cents + self.vat.of(net_cents))} with VAT"
        return f"{spoken(net_cents)} without VAT"

    def total(self, net_cents: int) -> str:
        """What will be on the invoice in all."""
        if self.vat is None:
            return f"{spoken(net_cents)} and the VAT of your country"
        vat_cents = self.vat.of(net_cents)
        return f"{spoken(net_cents + vat_cents)}, of which {spoken(vat_cents)} VAT"

    @property
    def vat_key(self) -> str:
        """Whose VAT is in them, for a form that must not be sent after it has changed."""
        return "" if self.vat is None else f"{self.vat.treatment}:{self.vat.country}:{self.vat.rate_bp}"


def prices_for(organization: Organization) -> Prices:
    customer = known_customer(organization)
    if customer is None:
        return Prices(None, with_vat=False)
    return Prices(vat_for(customer), with_vat=customer.kind == Customer.Kind.CONSUMER)
