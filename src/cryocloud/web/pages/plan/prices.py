"""Prices as people see them: a business without VAT, a private person with it."""

from __future__ import annotations

from dataclasses import dataclass

from cryocloud.web.billing.customers import known_customer
from cryocloud.web.billing.invoicing import vat_for
from cryocloud.web.billing.models import Customer
from cryocloud.web.billing.money import spoken
from cryocloud.web.billing.vat import Vat
from cryocloud.web.organizations.models import Organization
from cryocloud.web.pages.templatetags.wording import bytes_text
from cryocloud.web.terms import Plan


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


def prices_for(organization: Organization) -> Prices:
    customer = known_customer(organization)
    if customer is None:
        return Prices(None, with_vat=False)
    return Prices(vat_for(customer), with_vat=customer.kind == Customer.Kind.CONSUMER)


def included(plan: Plan) -> list[str]:
    """What a month of a plan holds, and what goes beyond it."""
    lines = [
        f"{plan.compute_hours:,} hours of compute a month",
        f"{bytes_text(plan.storage_bytes)} of storage",
    ]
    if plan.files is not None:
        lines.append(f"{plan.files:,} files")
    if plan.slots is not None:
        lines.append(f"{plan.slots:,} jobs at the same time")
    if plan.compute_cents_an_hour is None:
        lines.append("Work waits when the hours are used; nothing is charged beyond the price")
    else:
        rate = spoken(plan.compute_cents_an_hour)
        lines.append(f"More compute only up to the limit that you set: {rate} an hour, without VAT")
    if plan.storage_cents_a_terabyte_month is not None:
        lines.append(
            f"More storage: {spoken(plan.storage_cents_a_terabyte_month)} a TB kept 30 days, without VAT, up to twice "
            "what is included"
        )
    return lines
