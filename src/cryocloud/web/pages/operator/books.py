"""The books for the operator: invoices, open items, VAT ids, accounts, and the quarters with their returns."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_safe

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.billing.models import ClosedPeriod
from cryocloud.web.billing.periods import (
    Quarter,
    balances,
    differences,
    figures_of,
    journal,
    open_items,
    quarters,
)
from cryocloud.web.core.days import today
from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.tables import table_answer
from cryocloud.web.operations.closing import close_quarter
from cryocloud.web.operations.registers import invoices_found, vat_checks_found
from cryocloud.web.pages.invoices import sent_file
from cryocloud.web.pages.operator.door import operators_only

PER_PAGE = 50
FIRST_YEAR = 2024


@require_safe
@operators_only
def books(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Invoices by number, name or organization; those that are not sent stand above."""
    text = request.GET.get("q", "").strip()[:100]
    page = Paginator(invoices_found(text), PER_PAGE).get_page(request.GET.get("page"))
    shown = {
        "section": "operator",
        "page": page,
        "text": text,
        "held_back": invoices_found("").exclude(problem="").filter(documents_at=None),
        "differences": differences(),
        "quarters": quarters(),
    }
    return render(request, "operations/books.html", shown)


@require_safe
@operators_only
def accounts(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    shown = {"section": "operator", "balances": balances(), "open_items": open_items()}
    return render(request, "operations/accounts.html", shown)


@require_safe
@operators_only
def vat_ids(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    page = Paginator(vat_checks_found(), PER_PAGE).get_page(request.GET.get("page"))
    shown = {"section": "operator", "page": page}
    return render(request, "operations/vat_ids.html", shown)


@require_http_methods(["GET", "HEAD", "POST"])
@operators_only
def quarter(request: HttpRequest, actor: Actor, year: int, number: int) -> HttpResponse:
    """The figures of a quarter; the form closes it."""
    chosen = _quarter(year, number)
    if request.method == "POST":
        close_quarter(actor=actor, quarter=chosen)
        messages.success(request, f"{chosen.name} is closed.")
        return redirect("operator_quarter", year=year, number=number)
    first, last = chosen.days
    shown = {
        "section": "operator",
        "quarter": chosen,
        "first": first,
        "last": last,
        "figures": figures_of(chosen),
        "closed": ClosedPeriod.objects.filter(first_on=first).first(),
        "is_over": today() > last,
    }
    return render(request, "operations/quarter.html", shown)


@require_safe
@operators_only
def quarter_journal(request: HttpRequest, actor: Actor, year: int, number: int) -> HttpResponseBase:
    chosen = _quarter(year, number)
    return table_answer(journal(chosen), f"journal-{year}-q{number}.csv")


@require_safe
@operators_only
def document(request: HttpRequest, actor: Actor, number: str) -> HttpResponseBase:
    """The PDF of any invoice, by its number."""
    found = invoices_found("").filter(number=number).first()
    if found is None or found.pdf is None:
        raise NotFound
    return sent_file(bytes(found.pdf), f"{found.number}.pdf", "application/pdf")


def _quarter(year: int, number: int) -> Quarter:
    if number not in range(1, 5) or year not in range(FIRST_YEAR, today().year + 1):
        raise NotFound
    return Quarter(year, number)


urlpatterns: list[URLPattern] = [
    path("operator/books/", books, name="operator_books"),
    path("operator/books/accounts/", accounts, name="operator_accounts"),
    path("operator/books/vat-ids/", vat_ids, name="operator_vat_ids"),
    path("operator/books/<int:year>/q<int:number>/", quarter, name="operator_quarter"),
    path("operator/books/<int:year>/q<int:number>/journal/", quarter_journal, name="operator_journal"),
    path("operator/books/invoices/<str:number>/", document, name="operator_invoice"),
]
