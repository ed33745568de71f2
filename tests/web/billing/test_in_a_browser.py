"""Invoices and books in Chromium: wide and narrow, light and dark, nothing in the way of anybody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from cryocloud.web.billing import ledger, vies
from cryocloud.web.billing.invoicing import credit_invoice
from cryocloud.web.billing.models import Invoice, VatCheck
from cryocloud.web.billing.vat_checks import note_answer
from cryocloud.web.configuration import configuration
from platform_server import serving
from web.browsing import Look, looking
from web_books import issue, line, make_customer
from web_data import run_tasks

LOOKS = [(width_px, scheme) for width_px in (1280, 360) for scheme in ("light", "dark")]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture
def invoice(owner: Any) -> Invoice:
    """Several invoices, one of them credited and one of them held back, and answers about a VAT id."""
    owner.user.is_operator = True
    owner.user.save()
    german = {"country": "DE", "postal_code": "10115", "city": "Berlin", "vat_id": "DE136695976"}
    customer = make_customer(owner.organization, **german, vat_state="unchecked", po_number="PO 4711")
    compute = line(
        4_379,
        "compute",
        text="Compute beyond the 100 hours that are included",
        quantity="12.5125",
        unit="hours",
    )
    first = issue(owner.organization, line(), compute)
    paid = issue(owner.organization, line(10_000), key="paid")
    ledger.book("p", {"cash:manual": 12_100, "receivable": -12_100}, text="Payment", invoice=paid)
    credit_invoice(issue(owner.organization, key="back"), key="note", reason="Cancelled within 30 days")
    run_tasks()
    held_back = issue(owner.organization, key="held back")
    Invoice.unscoped.filter(pk=held_back.pk).update(problem="[BR-CO-15] totals differ (as a test)")
    note_answer(customer.pk, "DE136695976", vies.Consultation(VatCheck.Answer.DOWN, problem="MS_UNAVAILABLE"))
    answer = vies.Consultation(VatCheck.Answer.VALID, "WAPIAAAAY1234567", "INSTITUT FUR STRUKTURBIOLOGIE")
    note_answer(customer.pk, "DE136695976", answer)
    return first


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def look(
    request: pytest.FixtureRequest, owner: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Look]:
    # Playwright keeps an event loop in this thread; nothing else uses the connection.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    width_px, scheme = request.param
    context = {"viewport": {"width": width_px, "height": 800}, "color_scheme": scheme}
    terms = {"CRYOCLOUD_BILLING": str(configuration().billing)}
    with (
        serving(home, str(connection.settings_dict["NAME"]), **terms) as site,
        looking(site.address, owner.client, **context) as look,
    ):
        yield look
        # A form that was refused is answered with 422, which the console counts as an error.
        assert [said for said in look.found() if "422" not in said] == []


def test_the_pages(invoice: Invoice, look: Look) -> None:
    quarter = f"{invoice.issued_on.year}/q{(invoice.issued_on.month + 2) // 3}"
    pages = {
        "organization": "/organization/",
        "details": "/organization/invoice-details/",
        "invoices": "/invoices/",
        "invoice": f"/invoices/{invoice.pk}/",
        "books": "/operator/books/",
        "accounts": "/operator/books/accounts/",
        "vat_ids": "/operator/books/vat-ids/",
        "quarter": f"/operator/books/{quarter}/",
    }
    for name, path in pages.items():
        look.visit(path)
        look.picture(name)
        assert look.barriers() == [], name
    look.visit(pages["details"])
    look.page.fill("#id_vat_id", "DE136695977")
    look.page.get_by_role("button", name="Save").click()
    look.page.wait_for_selector(".error")
    look.picture("details_refused")
    assert look.page.input_value("#id_vat_id") == "DE136695977"
    assert look.barriers() == []


def test_a_document_is_saved(invoice: Invoice, look: Look) -> None:
    look.visit(f"/invoices/{invoice.pk}/")
    with look.page.expect_download() as saved:
        look.page.get_by_role("link", name="Download PDF").click()
    assert saved.value.suggested_filename == f"{invoice.number}.pdf"
    assert Path(saved.value.path()).read_bytes() == bytes(Invoice.unscoped.get(pk=invoice.pk).pdf)
    assert invoice.due_at - invoice.issued_at > timedelta(days=13)
