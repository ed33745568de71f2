"""Statements of the bank: each entry once for ever, matched by reference and amount, the rest by people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError, get_ident

import pytest
import sepaxml
import xmlschema
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from bank_statements import IBAN, PAYER, Movement, statement
from cryocloud.web.billing.invoicing import open_cents
from cryocloud.web.billing.ledger import balance
from cryocloud.web.core.errors import Conflict, NotFound, Refused
from cryocloud.web.payments import statements
from cryocloud.web.payments.camt import read_statements
from cryocloud.web.payments.models import Payment, Refund, Statement, StatementLine, TransferFile
from cryocloud.web.payments.providers.manual import instructions
from cryocloud.web.payments.references import in_groups, new_reference, references_in
from cryocloud.web.payments.services import refund_all, request_payment
from cryocloud.web.payments.statements import match_line, send_back_line, set_aside_line, take_statement
from cryocloud.web.payments.transfers import (
    approve_transfer_file,
    content_of,
    make_transfer_file,
    send_by_transfer,
    withdraw_transfer_file,
)
from payment_desk import GROSS_CENTS
from web_books import issue, make_customer

pytestmark = pytest.mark.django_db
GROSS = "592.90"


@pytest.fixture
def operator(make_member):
    return make_operator(make_member, "olga")


def make_operator(make_member, name):
    member = make_member(name=name)
    member.user.is_operator = True
    member.user.save()
    return member


def take(operator, *movements, **given):
    return take_statement(actor=operator.actor, name="bank.xml", content=statement(*movements, **given))


@pytest.mark.parametrize("version", ["02", "08"])
@pytest.mark.parametrize("place", ["reference", "text", "end_to_end"])
def test_a_transfer_with_reference_and_amount_is_matched_by_itself(
    owner, operator, new_invoice, heard, place, version
) -> None:
    payment = request_payment(new_invoice(), None)
    assert payment.state == Payment.State.PENDING
    said = f"Thank you / {in_groups(payment.reference)} / bye" if place == "text" else payment.reference
    taken = take(operator, Movement(GROSS, **{place: said}), version=version)
    assert (taken.new, taken.matched, taken.waiting) == (1, 1, 0)
    payment.refresh_from_db()
    assert payment.state == Payment.State.PAID
    assert heard.paid == [payment.pk]
    assert open_cents(payment.invoice) == 0
    assert (balance("cash:manual"), balance("unallocated")) == (GROSS_CENTS, 0)


@pytest.mark.parametrize("written", ["EX-2026-000001", "ex 2026 000001", "Invoice EX2026000001, thank you"])
def test_a_transfer_that_names_the_number_of_the_invoice_is_matched_too(
    operator, new_invoice, heard, written
) -> None:
    payment = request_payment(new_invoice(), None)
    wanted = written.replace("2026", f"{payment.invoice.issued_on.year}")
    assert take(operator, Movement(GROSS, text=wanted)).matched == 1
    assert heard.paid == [payment.pk]


def test_no_entry_counts_twice_in_whatever_file_it_comes_again(operator, new_invoice, heard) -> None:
    payment = request_payment(new_invoice(), None)
    paid = Movement(GROSS, reference=payment.reference)
    other = Movement("12.00", bank_reference="B2")
    take(operator, paid)
    for files in ((paid,), (paid, other), (other, paid), (paid, other)):
        take(operator, *files, number=str(files))
    assert StatementLine.objects.count() == 2
    assert heard.paid == [payment.pk]
    assert balance("cash:manual") == GROSS_CENTS + 1200


def test_without_references_of_the_bank_equal_entries_are_told_apart_by_their_order(
    operator, new_invoice
) -> None:
    twice = [Movement("5.00", bank_reference="")] * 2
    assert take(operator, *twice).new == 2
    assert take(operator, *twice, number="2").new == 0
    assert take(operator, *twice, twice[0], number="3").new == 1
    assert balance("cash:manual") == 1500


def test_less_more_and_unknown_money_waits_for_a_person(owner, operator, new_invoice, heard) -> None:
    payment = request_payment(new_invoice(), None)
    taken = take(
        operator,
        Movement("500.00", reference=payment.reference),
        Movement("100.00", bank_reference="B2", text="no idea"),
    )
    assert (taken.matched, taken.waiting) == (0, 2)
    assert heard.paid == []
    assert balance("unallocated") == -60_000
    part, more = StatementLine.objects.order_by("-amount_cents")
    match_line(actor=operator.actor, line=part, named=payment.reference.lower())
    payment.refresh_from_db()
    assert (payment.state, payment.missing_cents) == (Payment.State.PENDING, GROSS_CENTS - 50_000)
    assert instructions(payment).amount_cents == GROSS_CENTS - 50_000
    match_line(actor=operator.actor, line=more, named=payment.invoice.number)
    payment.refresh_from_db()
    assert (payment.state, heard.paid) == (Payment.State.PAID, [payment.pk])
    more.refresh_from_db()
    assert (more.state, more.left_cents) == (StatementLine.State.WAITING, 60_000 - GROSS_CENTS)
    send_back_line(actor=operator.actor, line=more, reason="paid too much")
    assert Refund.objects.get().amount_cents == 60_000 - GROSS_CENTS
    assert balance("unallocated") == 0
    with pytest.raises(Conflict, match="dealt with"):
        set_aside_line(actor=operator.actor, line=more, payout_of="", reason="again")


def test_a_payout_of_a_provider_and_what_is_not_ours_are_set_aside(operator) -> None:
    take(
        operator,
        Movement("70.00"),
        Movement("30.00", bank_reference="B2"),
        Movement("-9.00", bank_reference="B3"),
    )
    payout, private = StatementLine.objects.filter(state="waiting").order_by("-amount_cents")
    set_aside_line(actor=operator.actor, line=payout, payout_of="stripe", reason="payout")
    set_aside_line(actor=operator.actor, line=private, payout_of="", reason="interest")
    assert (balance("cash:manual"), balance("cash:stripe"), balance("unallocated")) == (7000, -7000, 0)
    assert not StatementLine.objects.filter(state="waiting").exists()


ATTACKS = {
    "entities": b'<!DOCTYPE a [<!ENTITY x "1">]><Document>&x;</Document>',
    "file": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document>&x;</Document>',
    "laughs": b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Document>&b;</Document>',
}
BAD = {
    "no XML": (b"MT940 :20:", "no XML file"),
    "empty": (b"", "no XML file"),
    "pdf": (b"%PDF-1.7 \x00\xff", "no XML file"),
    "other XML": (b"<html/>", "no CAMT.053"),
    "no statement": (statement().replace(b"<Stmt>", b"<X>").replace(b"</Stmt>", b"</X>"), "no statement"),
    "another account": (statement(iban="NL20INGB0001234567"), f"invoices are paid to {IBAN}"),
    "another currency": (statement(Movement("1.00", currency="USD")), "USD"),
    "no amount": (statement(Movement("1,00")), "“1,00”, which is no number"),
    "parts of cents": (statement(Movement("1.005")), "no amount in cents"),
    "not a number": (statement(Movement("NaN")), "no number"),
    "a million digits": (statement(Movement("9E999990")), "no number"),
    "beyond all numbers": (statement(Movement("1E99999999")), "no number"),
    "endless": (statement(Movement("1e400")), "amount"),
    "a wrong day": (statement(Movement("1.00", day="2026-02-30")), "2026-02-30"),
    "no direction": (statement(Movement("1.00")).replace(b"CRDT", b"UP"), "came or went"),
    "too large": (b" " * 2_500_001, "2,500,000"),
    **{name: (content, "document type") for name, content in ATTACKS.items()},
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_file_gets_a_sentence_and_changes_nothing(operator, name) -> None:
    content, words = BAD[name]
    with pytest.raises(Refused) as refused:
        take_statement(actor=operator.actor, name="x", content=content)
    assert words in refused.value.fields["file"]
    assert not Statement.objects.exists()
    assert not StatementLine.objects.exists()


def test_what_is_not_booked_yet_is_passed_over(operator) -> None:
    assert take(operator, Movement("1.00", status="PDNG")).new == 0


def test_nobody_but_staff_takes_statements(owner) -> None:
    with pytest.raises(NotFound):
        take(owner, Movement("1.00"))


def paid_by_transfer(operator, invoice):
    payment = request_payment(invoice, None)
    came = Movement(GROSS, reference=payment.reference, bank_reference=invoice.number)
    take(operator, came, number=invoice.number)
    return payment


def test_a_refund_by_transfer_needs_two_people_and_is_done_when_the_bank_says_so(
    owner, operator, new_invoice, make_member
) -> None:
    paid_by_transfer(operator, new_invoice())
    refund_all(owner.organization, key="end")
    refund_all(owner.organization, key="end")
    file = make_transfer_file(actor=operator.actor)
    assert (file.transfers, file.amount_cents) == (1, GROSS_CENTS)
    with pytest.raises(NotFound):
        content_of(actor=operator.actor, file=file)
    second = make_operator(make_member, "otto")
    with pytest.raises(Conflict, match="Another operator"):
        approve_transfer_file(actor=operator.actor, file=file, reason="quick")
    file = approve_transfer_file(actor=second.actor, file=file)
    content = content_of(actor=operator.actor, file=file)
    _assert_valid(content)
    for part in (b"592.90", PAYER.encode(), IBAN.encode(), b"EX-"):
        assert part in content
    refund = Refund.objects.get()
    assert refund.state == Refund.State.PENDING
    assert balance("refunds_payable") == -GROSS_CENTS
    gone = Movement(f"-{GROSS}", end_to_end=refund.pk, bank_reference="B9")
    for number in ("8", "9"):
        take(operator, gone, number=number)
    refund.refresh_from_db()
    assert refund.state == Refund.State.EXECUTED
    assert balance("refunds_payable") == balance("cash:manual") == 0


def test_a_bank_that_books_a_file_as_one_says_so_by_the_name_of_the_file(
    owner, operator, new_invoice, make_member
) -> None:
    for key in ("a", "b"):
        paid_by_transfer(operator, new_invoice(key))
    refund_all(owner.organization, key="end")
    file = make_transfer_file(actor=operator.actor)
    approve_transfer_file(actor=make_operator(make_member, "otto").actor, file=file)
    take(operator, Movement("-1185.80", batch=file.pk, bank_reference="B9"))
    assert set(Refund.objects.values_list("state", flat=True)) == {"executed"}
    assert balance("cash:manual") == balance("refunds_payable") == 0


def test_one_operator_alone_approves_with_a_reason(owner, operator, new_invoice) -> None:
    paid_by_transfer(operator, new_invoice())
    refund_all(owner.organization, key="end")
    file = make_transfer_file(actor=operator.actor)
    with pytest.raises(Refused, match="reason"):
        approve_transfer_file(actor=operator.actor, file=file)
    approved = approve_transfer_file(actor=operator.actor, file=file, reason="I am alone here")
    assert approved.reason == "I am alone here"


def test_a_withdrawn_file_frees_its_refunds(owner, operator, new_invoice) -> None:
    paid_by_transfer(operator, new_invoice())
    refund_all(owner.organization, key="end")
    withdraw_transfer_file(actor=operator.actor, file=make_transfer_file(actor=operator.actor))
    assert make_transfer_file(actor=operator.actor).transfers == 1
    assert TransferFile.objects.count() == 2


def test_a_refund_without_an_account_gets_one_from_a_person(owner, operator, new_invoice) -> None:
    payment = request_payment(new_invoice(), None)
    take(operator, Movement(GROSS, reference=payment.reference, iban=""))
    refund_all(owner.organization, key="end")
    with pytest.raises(Conflict):
        make_transfer_file(actor=operator.actor)
    asked = {
        "actor": operator.actor,
        "refund": Refund.objects.get(),
        "name": "Lab",
        "reason": "asked by phone",
    }
    for wrong in ("DE89370400440532013001", "DE", "", "ÄÖ" * 9):
        with pytest.raises(Refused) as refused:
            send_by_transfer(**asked, iban=wrong)
        assert "no IBAN" in refused.value.fields["iban"]
    send_by_transfer(**asked, iban="DE89 3704 0044 0532 0130 00")
    assert make_transfer_file(actor=operator.actor).amount_cents == GROSS_CENTS


def _assert_valid(content: bytes) -> None:
    """By the schema of the standard, as another project ships it."""
    schema = Path(sepaxml.__file__).parent / "schemas" / "pain.001.001.09.xsd"
    xmlschema.XMLSchema(schema).validate(content.decode())


@settings(max_examples=200)
@given(st.text(alphabet="0123456789", min_size=20, max_size=20), st.sampled_from(["", " ", "-", "."]))
def test_a_slip_of_the_pen_in_a_reference_is_noticed(digits, between) -> None:
    reference = new_reference()
    written = between.join(reference)
    assert references_in(f"invoice 12 {written} thanks") == [reference]
    for at in range(4, 19):
        if reference[at] != reference[at + 1]:
            swapped = f"{reference[:at]}{reference[at + 1]}{reference[at]}{reference[at + 2 :]}"
            assert references_in(swapped) == []


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_whatever_bytes_come_the_answer_is_a_sentence(content) -> None:
    with pytest.raises(Refused):
        read_statements(content, IBAN)


@pytest.mark.django_db(transaction=True)
def test_two_files_that_name_the_same_payers_in_another_order_are_both_taken(
    make_member, operator, heard, monkeypatch
) -> None:
    payments = []
    for name in ("ann", "bob"):
        payer = make_member(name=name)
        make_customer(payer.organization)
        made = [issue(payer.organization, key=f"{name}:{number}") for number in range(2)]
        payments.append([request_payment(invoice, None).reference for invoice in made])
    (first, second), (third, fourth) = payments
    barrier, begun = Barrier(2), set()

    def meet(name: str) -> None:
        """Each has booked one line and comes to the next, if the other gets as far."""
        if name == "statement:line" and get_ident() in begun:
            with suppress(BrokenBarrierError):
                barrier.wait(timeout=1)
        begun.add(get_ident())

    monkeypatch.setattr(statements, "crash_point", meet)

    def take_one(references: tuple[str, str]) -> int:
        try:
            return take(operator, *(Movement(GROSS, one, bank_reference=one) for one in references)).matched
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(take_one, [(first, third), (fourth, second)])) == [2, 2]
