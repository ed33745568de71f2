"""Who pays, and the invoices of an organization with their documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_safe

from cryocloud.web import terms
from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.countries import COUNTRIES
from cryocloud.web.billing.customers import (
    LENGTHS,
    NEEDED,
    Details,
    is_checkable,
    known_customer,
    save_customer,
)
from cryocloud.web.billing.invoicing import open_cents, vat_for
from cryocloud.web.billing.models import Customer, Invoice
from cryocloud.web.billing.pdf import span_of, title_of, unit_price_of, vat_label
from cryocloud.web.core.errors import NotFound, Refused
from cryocloud.web.organizations import access
from cryocloud.web.organizations.access import Purpose
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.pages.refusals import show_refusal
from cryocloud.web.pages.visitor import current_organization, members_only

PER_PAGE = 50
KINDS = [(value, label.capitalize()) for value, label in Customer.Kind.choices]
LABELS = {
    "name": ("Name", "The university, institute, company or person that invoices are made out to."),
    "street": ("Street and number", ""),
    "postal_code": ("Postal code", ""),
    "city": ("City", ""),
    "region": ("State or region", ""),
    "country": ("Country", ""),
    "email": ("Email for invoices", "Each invoice is mailed there as PDF and as XML, besides to the owners."),
    "vat_id": (
        "VAT id",
        "Businesses in the EU outside of the Netherlands: once the EU’s register confirms it, invoices bear no VAT.",
    ),
    "po_number": ("Your reference", "A purchase order number or cost center that stands on each invoice."),
    "iban": (
        "Bank account (IBAN)",
        "For refunds by transfer. Private persons elsewhere in the EU: it also shows in which country you live.",
    ),
}


class DetailsForm(forms.Form):
    kind = forms.ChoiceField(label="Who pays", choices=KINDS, widget=forms.RadioSelect)
    name = forms.CharField()
    street = forms.CharField()
    postal_code = forms.CharField()
    city = forms.CharField()
    region = forms.CharField()
    country = forms.ChoiceField(choices=[("", "Choose"), *COUNTRIES.items()])
    email = forms.CharField(widget=forms.EmailInput)
    vat_id = forms.CharField()
    po_number = forms.CharField()
    iban = forms.CharField()

    def __init__(self, data: object, initial: dict[str, Any]) -> None:
        super().__init__(data, initial=initial)  # type: ignore[arg-type]  # request.POST or None
        for name, (label, help_text) in LABELS.items():
            field = self.fields[name]
            field.label, field.help_text = label, help_text
            field.required = name in NEEDED
            if isinstance(field, forms.CharField):
                field.max_length = LENGTHS[name]


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def details(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    access.require_role(actor, current.id, Role.ADMIN, Purpose.GOVERN)
    if terms.billing() is None:
        raise NotFound
    customer = known_customer(current)
    form = DetailsForm(request.POST or None, _initial(customer, actor))
    if save_details(form, actor, current):
        messages.success(request, "Invoices will be made out like this from now on.")
        return redirect("invoice_details")
    shown = {
        "section": "organization",
        "form": form,
        "customer": customer,
        "is_checked": customer is not None and is_checkable(customer),
        "vat": vat_for(customer) if customer else None,
    }
    return render(request, "invoices/details.html", shown, status=422 if form.errors else 200)


def save_details(form: DetailsForm, actor: Actor, organization: Organization) -> bool:
    """Whether what was typed is kept; if not, the form says why."""
    if form.is_valid():
        try:
            save_customer(actor=actor, organization=organization, details=Details(**form.cleaned_data))
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return True
    return False


def _initial(customer: Customer | None, actor: Actor) -> dict[str, Any]:
    if customer is None:
        return {"kind": Customer.Kind.BUSINESS, "email": actor.user.email}
    return {name: getattr(customer, name) for name in ("kind", *LABELS)}


@require_safe
@members_only
def invoices(request: HttpRequest, actor: Actor) -> HttpResponse:
    current = current_organization(request, actor)
    found = access.within(actor, Invoice, current, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    found = found.select_related("credit_note").defer("pdf", "ubl", "credit_note__pdf", "credit_note__ubl")
    page = Paginator(found.order_by("-issued_at", "-sequence"), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "organization",
        "page": page,
        "invoices": [(invoice, open_cents(invoice)) for invoice in page],
        "customer": known_customer(current),
    }
    return render(request, "invoices/list.html", shown)


@require_safe
@members_only
def invoice(request: HttpRequest, actor: Actor, invoice_id: str) -> HttpResponse:
    found = access.get(actor, Invoice, invoice_id, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    own = access.within(actor, Invoice, found.organization, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    shown = {
        "section": "organization",
        "invoice": found,
        "title": title_of(found),
        "open_cents": (still_open := open_cents(found)),
        "credit_cents": -still_open,
        "lines": [_shown_line(line) for line in found.lines],
        "shares": [(vat_label(share), share) for share in found.vat],
        "credit_note": own.filter(corrects=found).first(),
    }
    return render(request, "invoices/invoice.html", shown)


def _shown_line(line: dict[str, Any]) -> dict[str, Any]:
    return line | {"span": span_of(line), "unit_price": unit_price_of(line), "usage": _usage_address(line)}


def _usage_address(line: dict[str, Any]) -> str:
    """The page with the attempts, or the storage, that a line is made of; "" for what is no usage."""
    if line["kind"] not in ("compute", "storage"):
        return ""
    begin = datetime.fromisoformat(line["from_at"]).astimezone(UTC)
    return f"{reverse('usage')}?span={begin:%Y%m%dT%H%M%S}"


@require_safe
@members_only
def pdf(request: HttpRequest, actor: Actor, invoice_id: str) -> HttpResponse:
    found = access.get(actor, Invoice, invoice_id, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    return sent_file(found.pdf, f"{found.number}.pdf", "application/pdf")


@require_safe
@members_only
def xml(request: HttpRequest, actor: Actor, invoice_id: str) -> HttpResponse:
    found = access.get(actor, Invoice, invoice_id, needs=Role.ADMIN, purpose=Purpose.GOVERN)
    return sent_file(found.ubl, f"{found.number}.xml", "application/xml")


def sent_file(content: bytes | memoryview | None, name: str, media_type: str) -> HttpResponse:
    """To be saved; what is not made yet is not there."""
    if content is None:
        raise NotFound
    disposition = content_disposition_header(True, name) or "attachment"
    return HttpResponse(bytes(content), content_type=media_type, headers={"Content-Disposition": disposition})


urlpatterns: list[URLPattern] = [
    path("organization/invoice-details/", details, name="invoice_details"),
    path("invoices/", invoices, name="invoices"),
    path("invoices/<str:invoice_id>/", invoice, name="invoice"),
    path("invoices/<str:invoice_id>/pdf/", pdf, name="invoice_pdf"),
    path("invoices/<str:invoice_id>/xml/", xml, name="invoice_xml"),
]
