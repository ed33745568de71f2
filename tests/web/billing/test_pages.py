"""Who pays and invoices, by page and by API: what a person types is checked, and only admins and owners see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from html import unescape

import pytest

from cryocloud.web.billing import ledger
from cryocloud.web.billing.customers import PlaceUnproven, require_sellable
from cryocloud.web.billing.invoicing import credit_invoice
from cryocloud.web.billing.models import Customer, Invoice, PlaceEvidence
from cryocloud.web.core.clock import now
from cryocloud.web.metering.allowances import give_allowance
from cryocloud.web.metering.models import Allowance
from cryocloud.web.organizations.models import Organization, Role
from web_books import issue, line, make_customer
from web_data import run_tasks

pytestmark = pytest.mark.django_db
DETAILS = "/organization/invoice-details/"
GIVEN = {
    "kind": "business",
    "name": "Universiteit Voorbeeld",
    "street": "Domplein 29",
    "postal_code": "3512 JE",
    "city": "Utrecht",
    "region": "",
    "country": "NL",
    "email": "invoices@lab.example",
    "vat_id": "",
    "po_number": "PO 7",
    "iban": "",
}


def test_the_owner_says_who_pays(owner) -> None:
    assert "Who pays" in owner.client.get(DETAILS).content.decode()
    answer = owner.client.post(DETAILS, GIVEN, follow=True)
    assert "Invoices bear 21 % VAT (Netherlands)" in answer.content.decode()
    kept = Customer.unscoped.get()
    assert {name: getattr(kept, name) for name in GIVEN} == GIVEN


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "required"),
        ("country", "ZZ", "valid choice"),
        ("postal_code", "", "Give the postal code"),
        ("email", "not an address", "no mail address"),
        ("vat_id", "NL123456789B01", "check digits"),
        ("iban", "NL92ABNA0417164300", "check digits"),
        ("name", "名古屋大学", "Latin"),
        ("street", "x" * 201, "at most 200"),
    ],
)
def test_what_is_typed_wrong_is_said_beside_its_field_and_nothing_is_lost(owner, field, value, words) -> None:
    answer = owner.client.post(DETAILS, GIVEN | {field: value})
    text = answer.content.decode()
    assert answer.status_code == 422
    assert words in text.split(f'id="id_{field}_error"')[1].split("</div>")[0]
    assert "Domplein 29" in text or field == "street"
    assert not Customer.unscoped.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_others_than_admins_see_no_invoices(owner, make_member, role: Role) -> None:
    make_customer(owner.organization)
    invoice = issue(owner.organization)
    run_tasks()
    member = make_member(owner.organization, role, name="vera")
    for path in (DETAILS, "/invoices/", f"/invoices/{invoice.pk}/", f"/invoices/{invoice.pk}/pdf/"):
        assert member.client.get(path).status_code == 403
    assert member.api("GET", f"/invoices/{invoice.pk}").status_code == 403
    assert member.api("GET", f"/organizations/{owner.organization.pk}/customer").status_code == 403


def test_invoices_with_their_documents(owner) -> None:
    make_customer(owner.organization)
    invoice = issue(
        owner.organization, line(), line(4_379, "compute", text="Compute", quantity="12.5", unit="hours")
    )
    page = f"/invoices/{invoice.pk}/"
    assert "being made" in owner.client.get(page).content.decode()
    assert owner.client.get(f"{page}pdf/").status_code == 404
    run_tasks()
    text = owner.client.get(page).content.decode()
    for words in ("645.89 EUR", "12.5 hours", "3.5032", "1 Mar 2026 to 1 Apr 2026", "VAT 21 % (Netherlands)"):
        assert words in text
    assert "/organization/usage/?span=20260301T093000" in text
    assert text.count("what it is made of") == 1
    pdf = owner.client.get(f"{page}pdf/")
    assert pdf.content == bytes(Invoice.unscoped.get().pdf)
    assert pdf.headers["Content-Disposition"] == f'attachment; filename="{invoice.number}.pdf"'
    assert owner.client.get(f"{page}xml/").content.startswith(b"<?xml")


def test_the_list_says_what_is_open_paid_and_credited(owner) -> None:
    make_customer(owner.organization)
    opened, paid, credited = (issue(owner.organization, key=str(count)) for count in range(3))
    ledger.book("p", {"cash:manual": 59_290, "receivable": -59_290}, text="Payment", invoice=paid)
    credit_invoice(credited, key="back", reason="Cancelled")
    rows = owner.client.get("/invoices/").content.decode().split("<tr>")
    words = {
        one.number: next(row for row in rows if f">{one.number}<" in row) for one in (opened, paid, credited)
    }
    assert ">open<" in words[opened.number]
    assert ">settled<" in words[paid.number]
    assert ">credited<" in words[credited.number]


def test_the_api_tells_the_same(owner) -> None:
    path = f"/organizations/{owner.organization.pk}"
    assert owner.api("GET", f"{path}/customer").status_code == 409
    wrong = owner.api("PUT", f"{path}/customer", GIVEN | {"iban": "X"})
    assert wrong.status_code == 422
    assert set(wrong.json()["fields"]) == {"iban"}
    assert owner.api("PUT", f"{path}/customer", GIVEN).json()["vat_state"] == "none"
    invoice = issue(owner.organization)
    note = credit_invoice(invoice, key="back", reason="Cancelled")
    run_tasks()
    listed = owner.api("GET", f"{path}/invoices").json()["items"]
    assert [one["number"] for one in listed] == [note.number, invoice.number]
    assert listed[0]["corrects"] == invoice.number
    assert listed[1]["open_cents"] == 0
    assert owner.api("GET", f"/invoices/{invoice.pk}").json() == listed[1]
    assert owner.api("GET", f"/invoices/{invoice.pk}/pdf").content.startswith(b"%PDF")
    assert owner.api("GET", f"/invoices/{invoice.pk}/xml").headers["Content-Type"] == "application/xml"


@pytest.mark.requirement("BIL-11")
def test_a_consumer_abroad_proves_the_country_twice_where_its_vat_is_due(owner, sold) -> None:
    sold(one_stop_shop=True)
    private = GIVEN | {"kind": "consumer", "country": "DE", "postal_code": "10115", "city": "Berlin"}
    owner.client.post(DETAILS, private)
    with pytest.raises(PlaceUnproven, match="IBAN"):
        require_sellable(owner.organization)
    owner.client.post(DETAILS, private | {"iban": "FR14 2004 1010 0505 0001 3M02 606"})
    with pytest.raises(PlaceUnproven):
        require_sellable(owner.organization)
    owner.client.post(DETAILS, private | {"iban": "DE89 3704 0044 0532 0130 00"})
    assert require_sellable(owner.organization).country == "DE"
    kept = PlaceEvidence.unscoped.values_list("kind", "country")
    assert set(kept) == {("address", "DE"), ("bank", "FR"), ("bank", "DE")}
    sold(one_stop_shop=False)
    owner.client.post(DETAILS, private)
    require_sellable(owner.organization)


def test_where_nothing_is_sold_nobody_is_asked_who_pays(owner, home, monkeypatch) -> None:
    from cryocloud.web.configuration import configuration

    given = configuration().model_copy(update={"billing": None})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
    assert owner.client.get(DETAILS).status_code == 404
    assert "Invoices" not in owner.client.get("/organization/").content.decode()


def test_a_line_of_compute_opens_to_its_attempts(owner) -> None:
    """Those that ended in the month of the line, and no others."""
    make_customer(owner.organization)
    moment = now()
    last, before = (
        (moment - timedelta(days=30), moment),
        (moment - timedelta(days=60), moment - timedelta(days=30)),
    )
    for from_at, until_at in (before, last):
        give_allowance(
            Allowance(
                organization=owner.organization,
                from_at=from_at,
                until_at=until_at,
                plan_code="lab",
                plan_name="Lab",
                compute_s=0,
                storage_bytes=0,
            )
        )
    Organization.objects.filter(pk=owner.organization.pk).update(state="active", state_until=None)
    span = {"from_at": before[0].isoformat(), "until_at": before[1].isoformat()}
    month = replace(
        line(100, "compute"), **{name: datetime.fromisoformat(text) for name, text in span.items()}
    )
    page = owner.client.get(f"/invoices/{issue(owner.organization, month).pk}/").content.decode()
    address = unescape(page.split('href="/organization/usage/')[1].split('"')[0])
    shown = owner.client.get(f"/organization/usage/{address}").context["span"]
    assert (shown.from_at, shown.until_at) == before
