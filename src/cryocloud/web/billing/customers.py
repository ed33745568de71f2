from __future__ import annotations

from cryocloud.web.billing.models import Customer
from cryocloud.web.billing.vat import Place
from cryocloud.web.core.errors import Conflict
from cryocloud.web.organizations.models import Organization


class NoCustomer(Conflict):
    """Nobody has said yet to whom invoices go."""

    def __init__(self) -> None:
        super().__init__("Say first who pays: name, address and, for a business in the EU, the VAT id.")
        self.remedy = "/organization/invoice-details/"


def customer_of(organization: Organization) -> Customer:
    """Raises ``NoCustomer`` where nobody has said who pays."""
    customer = Customer.unscoped.filter(organization=organization).first()
    if customer is None:
        raise NoCustomer
    return customer


def place_of(customer: Customer) -> Place:
    return Place(customer.country, customer.region, customer.postal_code)


def is_reverse_chargeable(customer: Customer) -> bool:
    """Whether the register confirmed the id that the customer has now."""
    return bool(customer.vat_id) and customer.vat_state == Customer.VatState.VALID
