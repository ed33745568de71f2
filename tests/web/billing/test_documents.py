"""The documents: valid by the official rules, alike in their sums, made and mailed once; what is invalid stays."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.core import mail
from django.db import transaction

from cryocloud.web.billing import rules, tasks
from cryocloud.web.billing.invoicing import credit_invoice
from cryocloud.web.billing.models import Customer, Invoice
from cryocloud.web.billing.money import spoken
from cryocloud.web.billing.ubl import CBC, ubl_of
from cryocloud.web.core.models import BackgroundTask
from web_books import issue, line, make_customer
from web_data import run_tasks

pytestmark = pytest.mark.django_db
CUSTOMERS = {
    "Dutch": {},
    "reverse charge": {
        "country": "DE",
        "vat_id": "DE136695976",
        "vat_state": "valid",
        "postal_code": "10115",
    },
    "outside": {"country": "US", "vat_id": "", "postal_code": "02139", "region": "MA", "city": "Cambridge"},
    "Northern Ireland": {
        "country": "GB",
        "vat_id": "GB980780684",
        "postal_code": "BT1 5GS",
        "city": "Belfast",
    },
    "Finn": {
        "country": "FI",
        "kind": "consumer",
        "postal_code": "00100",
        "city": "Helsinki",
        "name": "Väinö Ääkkönen",
    },
    "Greek": {
        "country": "GR",
        "vat_id": "EL094014201",
        "vat_state": "valid",
        "name": "Ινστιτούτο Βιολογίας & Σία",
    },
    "reference": {"po_number": "PO <4711>", "name": "Łódź “Lab” & Sons"},
}


def amounts_of(document: bytes) -> list[str]:
    root = ElementTree.fromstring(document)
    names = ("TaxExclusiveAmount", "TaxAmount", "PayableAmount")
    return [str(root.find(f".//{{{CBC}}}{name}").text) for name in names]


def text_of(pdf: bytes, folder: Path) -> str:
    """What a person can mark and copy in it, by a program that is not the one that made it."""
    (folder / "it.pdf").write_bytes(pdf)
    told = subprocess.run(["pdftotext", "-layout", folder / "it.pdf", "-"], capture_output=True, check=True)
    return told.stdout.decode()


@pytest.mark.requirement("BIL-03")
@pytest.mark.parametrize("who", CUSTOMERS)
def test_documents_keep_the_rules_and_agree(owner, sold, tmp_path: Path, who: str) -> None:
    sold(one_stop_shop=True)
    make_customer(owner.organization, **CUSTOMERS[who])
    compute = line(4_379, "compute", text="Compute beyond 100 hours", quantity="12.5125", unit="hours")
    credit = line(-2_317, "credit", text="Unused time", quantity="1", unit="")
    invoice = issue(owner.organization, line(), compute, credit)
    note = credit_invoice(invoice, key="note", reason="Cancelled within 30 days")
    run_tasks()
    for one in (invoice, note):
        one.refresh_from_db()
        assert one.problem == ""
        told = text_of(one.pdf, tmp_path)
        sign = -1 if one.is_credit_note else 1
        expected = [f"{sign * cents / 100:.2f}" for cents in (one.net_cents, one.vat_cents, one.gross_cents)]
        assert [amount.replace("-0.00", "0.00") for amount in amounts_of(one.ubl)] == [
            amount.replace("-0.00", "0.00") for amount in expected
        ]
        for fact in (one.number, spoken(one.net_cents), spoken(one.gross_cents), one.seller["vat_id"]):
            assert fact in told
        assert one.customer["name"] in told
        assert (one.customer["vat_id"] in told) and ("reverse-charged" in told) == (
            one.treatment == "reverse_charge"
        )
        assert hashlib.sha256(one.pdf).hexdigest() == one.pdf_sha256
        assert hashlib.sha256(one.ubl).hexdigest() == one.ubl_sha256


def test_more_credit_than_price_is_in_favor_of_the_customer(owner, tmp_path: Path) -> None:
    make_customer(owner.organization)
    invoice = issue(owner.organization, line(10_000), line(-45_000, "credit", text="Unused time", unit=""))
    run_tasks()
    invoice.refresh_from_db()
    assert invoice.problem == ""
    assert amounts_of(invoice.ubl) == ["-350.00", "-73.50", "-423.50"]
    assert "in your favor" in text_of(invoice.pdf, tmp_path)


def test_a_long_invoice_goes_on_over_pages(owner, tmp_path: Path) -> None:
    make_customer(owner.organization)
    lines = [line(100 + count, text=f"Line {count} of an invoice that is long") for count in range(40)]
    invoice = issue(owner.organization, *lines)
    run_tasks()
    invoice.refresh_from_db()
    told = text_of(invoice.pdf, tmp_path)
    assert told.count("\f") == 4
    assert f"{invoice.number} · 4 / 4" in told
    assert all(f"Line {count} of" in told for count in range(40))


def test_they_are_made_and_mailed_once(owner) -> None:
    make_customer(owner.organization)
    invoice = issue(owner.organization)
    run_tasks()
    invoice.refresh_from_db()
    stored = bytes(invoice.pdf)
    Customer.unscoped.update(city="Elsewhere")
    tasks.make_documents.enqueue(invoice.pk, organization_id=invoice.organization_id)
    tasks.make_missing_documents()
    run_tasks()
    invoice.refresh_from_db()
    assert bytes(invoice.pdf) == stored
    sent = [one for one in mail.outbox if invoice.number in one.subject]
    assert [one.to for one in sent] == [["invoices@lab.example"]]  # the owner's address is not verified
    assert [name for name, _, _ in sent[0].attachments] == [f"{invoice.number}.pdf", f"{invoice.number}.xml"]
    assert sent[0].attachments[0][1] == stored


def test_what_breaks_a_rule_is_not_sent_and_the_operator_is_told_once(owner, monkeypatch) -> None:
    owner.user.is_operator = True
    owner.user.save()
    make_customer(owner.organization)
    invoice = issue(owner.organization)
    right = ubl_of(invoice)
    monkeypatch.setattr(
        "cryocloud.web.billing.documents.ubl_of", lambda _: right.replace(b"592.90", b"592.91")
    )
    run_tasks()
    tasks.make_missing_documents()
    run_tasks()
    invoice.refresh_from_db()
    assert invoice.documents_at is invoice.sent_at is invoice.pdf is None
    assert "BR-CO-15" in invoice.problem
    assert [(one.to, one.subject) for one in mail.outbox] == [
        ([owner.user.email], f"{invoice.number} is not sent")
    ]
    monkeypatch.undo()


@pytest.mark.parametrize("failure", ["rules", "crash"])
def test_what_cannot_be_checked_is_not_sent(owner, monkeypatch, tmp_path: Path, failure: str) -> None:
    make_customer(owner.organization)
    invoice = issue(owner.organization)
    if failure == "crash":
        crashing = tmp_path / "python"
        crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
        crashing.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(crashing))
    else:
        monkeypatch.setattr(rules, "__name__", "cryocloud.web.billing.nothing")
    tasks.make_documents.func(invoice.pk, invoice.organization_id)
    invoice.refresh_from_db()
    assert invoice.documents_at is None
    assert "could not be applied" in invoice.problem


def test_a_document_to_which_no_rule_applies_counts_as_unchecked() -> None:
    with pytest.raises(rules.NotChecked):
        rules.broken_rules(b"<nothing/>")


def test_documents_are_ordered_with_the_invoice_or_not_at_all(owner) -> None:
    make_customer(owner.organization)
    with transaction.atomic():
        issue(owner.organization)
        transaction.set_rollback(True)
    assert not Invoice.unscoped.exists()
    assert not BackgroundTask.objects.exists()
