"""An invoice as UBL 2.1 after EN 16931, built from what was stored at its issue."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from cryocloud.web.billing.models import Invoice
from cryocloud.web.billing.money import decimal
from cryocloud.web.billing.vat import MEMBERS, Treatment, rate_text
from cryocloud.web.core.days import day_of

UBL = "urn:oasis:names:specification:ubl:schema:xsd"
CAC, CBC = f"{UBL}:CommonAggregateComponents-2", f"{UBL}:CommonBasicComponents-2"
PROFILE = "urn:cen.eu:en16931:2017"
INVOICE_CODE, CREDIT_NOTE_CODE, SEPA_TRANSFER = "380", "381", "58"
UNITS = (("month", "MON"), ("year", "ANN"), ("hour", "HUR"))
ONE = "C62"
REGISTER_OF_TRADE = "0106"
CATEGORIES = {
    Treatment.DOMESTIC: ("S", "", ""),
    Treatment.DESTINATION: ("S", "", ""),
    Treatment.REVERSE_CHARGE: ("AE", "VATEX-EU-AE", "VAT reverse-charged"),
    Treatment.OUTSIDE: ("O", "VATEX-EU-O", "Not subject to EU VAT"),
}


def ubl_of(invoice: Invoice) -> bytes:
    """The document. A credit note tells positive amounts, as its kind already says which way they go."""
    kind = "CreditNote" if invoice.is_credit_note else "Invoice"
    ElementTree.register_namespace("cac", CAC)
    ElementTree.register_namespace("cbc", CBC)
    ElementTree.register_namespace("", f"{UBL}:{kind}-2")
    root = Element(f"{{{UBL}:{kind}-2}}{kind}")
    _head(root, invoice, kind)
    _parties(root, invoice)
    _payment(root, invoice)
    _totals(root, invoice)
    for number, line in enumerate(invoice.lines, start=1):
        _line(root, invoice, kind, number, line)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _head(root: Element, invoice: Invoice, kind: str) -> None:
    _say(root, "CustomizationID", PROFILE)
    _say(root, "ID", invoice.number)
    _say(root, "IssueDate", invoice.issued_on.isoformat())
    if not invoice.is_credit_note:
        _say(root, "DueDate", day_of(invoice.due_at).isoformat())
    _say(root, f"{kind}TypeCode", CREDIT_NOTE_CODE if invoice.is_credit_note else INVOICE_CODE)
    if invoice.reason:
        _say(root, "Note", invoice.reason)
    _say(root, "DocumentCurrencyCode", invoice.currency)
    if invoice.customer["po_number"]:
        _say(_part(root, "OrderReference"), "ID", invoice.customer["po_number"])
    if invoice.corrects is not None:
        reference = _part(root, "BillingReference", "InvoiceDocumentReference")
        _say(reference, "ID", invoice.corrects.number)
        _say(reference, "IssueDate", invoice.corrects.issued_on.isoformat())


def _parties(root: Element, invoice: Invoice) -> None:
    seller, customer = invoice.seller, invoice.customer
    # Where no VAT of the EU applies, the standard lets neither side name an id of it (BR-O-02 to BR-O-04).
    names_ids = invoice.treatment != Treatment.OUTSIDE
    party = _part(root, "AccountingSupplierParty", "Party")
    _address(party, seller)
    if names_ids:
        _tax_id(party, seller["vat_id"])
    legal = _part(party, "PartyLegalEntity")
    _say(legal, "RegistrationName", seller["name"])
    _say(legal, "CompanyID", seller["registration_id"], schemeID=REGISTER_OF_TRADE)
    _say(_part(party, "Contact"), "ElectronicMail", seller["email"])
    party = _part(root, "AccountingCustomerParty", "Party")
    _address(party, customer)
    if names_ids and customer["vat_id"] and customer["country"] in MEMBERS | {"MC"}:
        _tax_id(party, customer["vat_id"])
    _say(_part(party, "PartyLegalEntity"), "RegistrationName", customer["name"])
    _say(_part(party, "Contact"), "ElectronicMail", customer["email"])


def _address(party: Element, told: dict[str, str]) -> None:
    address = _part(party, "PostalAddress")
    _say(address, "StreetName", told["street"])
    _say(address, "CityName", told["city"])
    if told["postal_code"]:
        _say(address, "PostalZone", told["postal_code"])
    if told.get("region"):
        _say(address, "CountrySubentity", told["region"])
    _say(_part(address, "Country"), "IdentificationCode", told["country"])


def _tax_id(party: Element, vat_id: str) -> None:
    scheme = _part(party, "PartyTaxScheme")
    _say(scheme, "CompanyID", vat_id)
    _say(_part(scheme, "TaxScheme"), "ID", "VAT")


def _payment(root: Element, invoice: Invoice) -> None:
    if invoice.is_credit_note:
        _say(_part(root, "PaymentTerms"), "Note", "Set off against the invoice, or paid back")
        return
    means = _part(root, "PaymentMeans")
    _say(means, "PaymentMeansCode", SEPA_TRANSFER)
    _say(means, "PaymentID", invoice.number)
    account = _part(means, "PayeeFinancialAccount")
    _say(account, "ID", invoice.seller["iban"])
    _say(account, "Name", invoice.seller["name"])
    if invoice.seller["bic"]:
        _say(_part(account, "FinancialInstitutionBranch"), "ID", invoice.seller["bic"])


def _totals(root: Element, invoice: Invoice) -> None:
    total = _part(root, "TaxTotal")
    _amount(total, "TaxAmount", invoice, invoice.vat_cents)
    for share in invoice.vat:
        subtotal = _part(total, "TaxSubtotal")
        _amount(subtotal, "TaxableAmount", invoice, share["net_cents"])
        _amount(subtotal, "TaxAmount", invoice, share["vat_cents"])
        _category(subtotal, "TaxCategory", share, tells_why=True)
    sums = _part(root, "LegalMonetaryTotal")
    _amount(sums, "LineExtensionAmount", invoice, invoice.net_cents)
    _amount(sums, "TaxExclusiveAmount", invoice, invoice.net_cents)
    _amount(sums, "TaxInclusiveAmount", invoice, invoice.gross_cents)
    _amount(sums, "PayableAmount", invoice, invoice.gross_cents)


def _line(root: Element, invoice: Invoice, kind: str, number: int, told: dict[str, Any]) -> None:
    """The price is that of the whole quantity: a quotient would have to be rounded."""
    quantity, unit = _quantity(told)
    net_cents = told["net_cents"] * _sign(invoice)
    line = _part(root, f"{kind}Line")
    _say(line, "ID", str(number))
    signed = quantity if net_cents >= 0 else -quantity
    _say(
        line,
        "CreditedQuantity" if invoice.is_credit_note else "InvoicedQuantity",
        f"{signed:f}",
        unitCode=unit,
    )
    _amount(line, "LineExtensionAmount", invoice, told["net_cents"])
    period = _part(line, "InvoicePeriod")
    begin, end = (datetime.fromisoformat(told[name]) for name in ("from_at", "until_at"))
    _say(period, "StartDate", day_of(begin).isoformat())
    _say(period, "EndDate", max(day_of(begin), day_of(end - timedelta(seconds=1))).isoformat())
    item = _part(line, "Item")
    _say(item, "Name", told["text"])
    _category(item, "ClassifiedTaxCategory", invoice.vat[0], tells_why=False)
    price = _part(line, "Price")
    _say(price, "PriceAmount", decimal(abs(net_cents)), currencyID=invoice.currency)
    _say(price, "BaseQuantity", f"{quantity:f}", unitCode=unit)


def _quantity(told: dict[str, Any]) -> tuple[Decimal, str]:
    quantity = abs(Decimal(told["quantity"]))
    unit = next((code for word, code in UNITS if word in told["unit"]), ONE)
    return (quantity, unit) if quantity else (Decimal(1), ONE)


def _category(parent: Element, name: str, share: dict[str, Any], *, tells_why: bool) -> None:
    code, reason_code, reason = CATEGORIES[Treatment(share["treatment"])]
    category = _part(parent, name)
    _say(category, "ID", code)
    if code != "O":
        _say(category, "Percent", rate_text(share["rate_bp"]))
    if tells_why and reason:
        _say(category, "TaxExemptionReasonCode", reason_code)
        _say(category, "TaxExemptionReason", reason)
    _say(_part(category, "TaxScheme"), "ID", "VAT")


def _sign(invoice: Invoice) -> int:
    return -1 if invoice.is_credit_note else 1


def _amount(parent: Element, name: str, invoice: Invoice, cents: int) -> None:
    _say(parent, name, decimal(cents * _sign(invoice)), currencyID=invoice.currency)


def _part(parent: Element, *names: str) -> Element:
    for name in names:
        parent = SubElement(parent, f"{{{CAC}}}{name}")
    return parent


def _say(parent: Element, name: str, text: str, **attributes: str) -> None:
    SubElement(parent, f"{{{CBC}}}{name}", attributes).text = text
