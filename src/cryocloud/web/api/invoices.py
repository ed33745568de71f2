"""Who pays for an organization, and its invoices with their documents; for admins and owners."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema

from cryocloud.web.api.answers import ERRORS, Page, PageQuery, one_page
from cryocloud.web.api.credentials import actor
from cryocloud.web.billing.customers import Details, customer_of, save_customer
from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.models import Invoice
from cryocloud.web.core.errors import NotFound
from cryocloud.web.organizations import access
from cryocloud.web.organizations.access import Purpose
from cryocloud.web.organizations.models import Role

router = Router(tags=["invoices"])


class CustomerDetails(Schema):
    """Who pays; what is wrong with a value is said under the field's name."""

    kind: Literal["business", "consumer"]
    name: str
    street: str
    postal_code: str = ""
    city: str
    region: str = ""
    country: str = Field(description="Two letters of ISO 3166-1, such as NL")
    email: str
    vat_id: str = ""
    po_number: str = ""
    iban: str = ""


class CustomerFacts(CustomerDetails):
    vat_state: Literal["none", "unchecked", "valid", "invalid"] = Field(
        description="What the EU's register says of the VAT id; none where its answer does not matter"
    )
    vat_checked_at: datetime | None = None
    vat_consultation: str = ""


class InvoiceLine(Schema):
    text: str
    kind: str
    quantity: str
    unit: str
    net_cents: int
    from_at: datetime
    until_at: datetime


class VatShare(Schema):
    """``rate_bp`` are basis points: 2100 is 21 %."""

    country: str
    treatment: str
    rate_bp: int
    net_cents: int
    vat_cents: int


class InvoiceFacts(Schema):
    id: str
    number: str
    kind: Literal["invoice", "credit_note"]
    corrects: str = Field("", description="Number of the invoice that a credit note corrects")
    issued_on: date
    due_at: datetime
    currency: str
    net_cents: int
    vat_cents: int
    gross_cents: int
    open_cents: int = Field(description="Still to pay; negative where it is to be paid back")
    lines: list[InvoiceLine]
    vat: list[VatShare]
    keep_until: date
    has_documents: bool


@router.get(
    "/organizations/{organization_id}/customer",
    response={200: CustomerFacts, **ERRORS},
    operation_id="get_customer",
)
def get_customer(request: HttpRequest, organization_id: str) -> Any:
    """Who pays; 409 where nobody has said."""
    return customer_of(access.get_organization(actor(request), organization_id, needs=Role.ADMIN))


@router.put(
    "/organizations/{organization_id}/customer",
    response={200: CustomerFacts, **ERRORS},
    operation_id="set_customer",
)
def set_customer(request: HttpRequest, organization_id: str, body: CustomerDetails) -> Any:
    """Say who pays. A VAT id takes VAT off once the EU's register has confirmed it."""
    who = actor(request)
    organization = access.get_organization(who, organization_id, needs=Role.ADMIN)
    return save_customer(actor=who, organization=organization, details=Details(**body.dict()))


@router.get(
    "/organizations/{organization_id}/invoices",
    response={200: Page[InvoiceFacts], **ERRORS},
    operation_id="list_invoices",
)
def list_invoices(request: HttpRequest, organization_id: str, query: Query[PageQuery]) -> Any:
    """Invoices and credit notes."""
    who = actor(request)
    organization = access.get_organization(who, organization_id, needs=Role.ADMIN)
    rows = access.within(who, Invoice, organization, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    light = rows.select_related("corrects").defer("pdf", "ubl", "corrects__pdf", "corrects__ubl")
    page = one_page(light, query)
    return page | {"items": [_facts(invoice) for invoice in page["items"]]}


@router.get("/invoices/{invoice_id}", response={200: InvoiceFacts, **ERRORS}, operation_id="get_invoice")
def get_invoice(request: HttpRequest, invoice_id: str) -> Any:
    """One invoice with its lines."""
    return _facts(_invoice(request, invoice_id))


@router.get("/invoices/{invoice_id}/pdf", response={200: None, **ERRORS}, operation_id="get_invoice_pdf")
def get_invoice_pdf(request: HttpRequest, invoice_id: str) -> Any:
    """The document for people; 404 until it is made."""
    return _document(_invoice(request, invoice_id).pdf, "application/pdf")


@router.get("/invoices/{invoice_id}/xml", response={200: None, **ERRORS}, operation_id="get_invoice_xml")
def get_invoice_xml(request: HttpRequest, invoice_id: str) -> Any:
    """The document for programs: UBL 2.1 after EN 16931; 404 until it is made."""
    return _document(_invoice(request, invoice_id).ubl, "application/xml")


def _invoice(request: HttpRequest, invoice_id: str) -> Invoice:
    """In whatever state the organization is."""
    return access.get(actor(request), Invoice, invoice_id, needs=Role.ADMIN, purpose=Purpose.GOVERN)


def _document(content: bytes | memoryview | None, media_type: str) -> HttpResponse:
    if content is None:
        raise NotFound
    return HttpResponse(bytes(content), content_type=media_type)


def _facts(invoice: Invoice) -> dict[str, Any]:
    names = set(InvoiceFacts.model_fields) - {"corrects", "open_cents", "has_documents"}
    return {name: getattr(invoice, name) for name in names} | {
        "corrects": invoice.corrects.number if invoice.corrects else "",
        "open_cents": open_cents(invoice),
        "has_documents": invoice.documents_at is not None,
    }
