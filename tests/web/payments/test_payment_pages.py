"""The pages of payments: members see and pay, staff match, approve and send back; nobody else does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile

from bank_statements import Movement, statement
from cryocloud.web.accounts.models import User
from cryocloud.web.notices.models import Occasion
from cryocloud.web.organizations.models import Role
from cryocloud.web.payments.letters import remind
from cryocloud.web.payments.models import Charge, Payment, Refund, StatementLine, TransferFile
from cryocloud.web.payments.references import in_groups
from cryocloud.web.payments.services import refund_all, request_payment
from payment_desk import card_of, the_payment, tick, work
from web.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(make_member):
    return make_operator(make_member, "olga")


def make_operator(make_member, name):
    member = make_member(name=name)
    User.objects.filter(pk=member.user.pk).update(is_operator=True)
    return member


def upload(operator, content, name="bank.xml"):
    return operator.client.post("/operator/bank/", {"file": SimpleUploadedFile(name, content)}, follow=True)


def text_of(answer) -> str:
    return answer.content.decode()


def test_a_member_sees_how_to_transfer_and_that_it_came(owner, operator, new_invoice) -> None:
    payment = request_payment(new_invoice(), None)
    page = text_of(owner.client.get("/organization/payments/"))
    assert payment.invoice.number in page
    assert "Awaited" in page
    page = text_of(owner.client.get(f"/organization/payments/{payment.pk}/"))
    for part in (
        "592.90 EUR",
        in_groups(payment.reference),
        "NL91 ABNA 0417 1643 00",
        "ABNANL2A",
        "code.svg",
    ):
        assert part in page
    code = owner.client.get(f"/organization/payments/{payment.pk}/code.svg")
    assert code["Content-Type"] == "image/svg+xml"
    assert code.content.startswith(b"<?xml")
    answer = upload(operator, statement(Movement("592.90", reference=payment.reference)))
    assert "1 new entries, 0 known before: 1 matched, 0 for you to match" in text_of(answer)
    page = text_of(owner.client.get(f"/organization/payments/{payment.pk}/"))
    assert "Paid on" in page
    assert "By bank transfer" not in page
    assert owner.client.get(f"/organization/payments/{payment.pk}/code.svg").status_code == 404


@pytest.mark.parametrize("provider", ["stripe", "mollie"])
def test_an_owner_is_led_to_the_provider_and_back(owner, new_invoice, double, provider) -> None:
    payment = request_payment(new_invoice(), None)
    answer = owner.client.post(f"/organization/payments/{payment.pk}/pay/", {"provider": provider})
    assert answer["Location"] == f"/organization/payments/{payment.pk}/onward/"
    page = text_of(owner.client.get(answer["Location"]))
    assert f'href="{double.address}/pay/' in page
    double.pay(Charge.unscoped.get().pk)
    tick()
    answer = owner.client.get(f"/organization/payments/{payment.pk}/")
    assert "Visa ending in 4242" in text_of(answer)
    assert owner.client.get(f"/organization/payments/{payment.pk}/onward/").status_code == 302
    answer = owner.client.post(f"/organization/payments/{payment.pk}/pay/", {"provider": provider})
    assert answer.status_code == 409
    assert "is paid" in text_of(answer)


def test_a_provider_that_does_not_answer_gets_a_sentence(owner, new_invoice, double) -> None:
    payment = request_payment(new_invoice(), None)
    double.is_down = True
    answer = owner.client.post(f"/organization/payments/{payment.pk}/pay/", {"provider": "stripe"})
    assert answer.status_code == 503
    assert "Nothing was charged" in text_of(answer)
    double.is_down = False
    answer = owner.client.post(f"/organization/payments/{payment.pk}/pay/", {"provider": "stripe"})
    assert answer.status_code == 302
    assert Charge.unscoped.count() == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.ADMIN])
def test_only_owners_pay(owner, new_invoice, make_member, role) -> None:
    payment = request_payment(new_invoice(), None)
    member = make_member(owner.organization, role, name="vera")
    seen = member.client.get(f"/organization/payments/{payment.pk}/").status_code
    assert seen == (200 if role == Role.ADMIN else 403)
    answer = member.client.post(f"/organization/payments/{payment.pk}/pay/", {"provider": "stripe"})
    assert answer.status_code == 403
    assert not Charge.unscoped.exists()


def test_a_way_that_is_not_offered_is_refused(owner, new_invoice) -> None:
    payment = request_payment(new_invoice(), None)
    answer = owner.client.post(f"/organization/payments/{payment.pk}/pay/", {"provider": "barter"})
    assert answer.status_code == 422
    assert "barter" in text_of(answer) or "not offered" in text_of(answer)


def test_a_failed_charge_is_told_with_the_day_of_the_next(owner, new_invoice, double) -> None:
    double.declines.append("Your card was declined.")
    request_payment(new_invoice(), card_of(owner.organization, "stripe"))
    work()
    page = text_of(owner.client.get(f"/organization/payments/{the_payment().pk}/"))
    assert "Your card was declined." in page
    assert f"{the_payment().next_try_at:%-d %B %Y}" in page
    (written,) = [one for one in mail.outbox if "could not be charged" in one.subject]
    assert written.to == ["invoices@lab.example"]
    assert f"{the_payment().next_try_at:%-d %B %Y}" in written.body


def test_reminders_come_1_7_14_and_28_days_after_the_due_moment(owner, new_invoice, clock) -> None:
    payment = request_payment(new_invoice(), None)
    due, told = payment.invoice.due_at, []
    for day in (0, 1, 2, 7, 14, 28, 60):
        clock.set(_after(due, day))
        remind()
        work()
        told.append(Occasion.unscoped.filter(title__startswith="Reminder").count())
    assert told == [0, 1, 1, 2, 3, 4, 4]
    body = next(one.body for one in mail.outbox if "Reminder" in one.subject)
    assert in_groups(payment.reference) in body
    assert "592.90 EUR" in body


def _after(due, day):
    return due + timedelta(days=day, seconds=1 if day else -1)


def test_after_a_long_stop_only_the_latest_reminder_is_sent(owner, new_invoice, clock) -> None:
    payment = request_payment(new_invoice(), None)
    clock.set(_after(payment.invoice.due_at, 20))
    remind()
    remind()
    assert Occasion.unscoped.filter(title__startswith="Reminder").count() == 1


def test_staff_match_a_line_by_hand_and_nothing_typed_is_lost(owner, operator, new_invoice) -> None:
    payment = request_payment(new_invoice(), None)
    page = text_of(upload(operator, statement(Movement("592.90", text="invoice of spring"))))
    assert "invoice of spring" in page
    path = f"/operator/bank/lines/{StatementLine.objects.get().pk}/"
    answer = operator.client.post(path, {"do": "match", "named": "EX-1999-000001"})
    assert answer.status_code == 422
    assert "names no payment that is still awaited" in text_of(answer)
    assert 'value="EX-1999-000001"' in text_of(answer)
    answer = operator.client.post(path, {"do": "send_back", "reason": ""})
    assert (answer.status_code, Refund.objects.count()) == (422, 0)
    assert operator.client.post(path, {"do": "give it to me"}).status_code == 422
    answer = operator.client.post(path, {"do": "match", "named": payment.invoice.number.lower()}, follow=True)
    assert f"Matched with invoice {payment.invoice.number}, which is paid now" in text_of(answer)
    assert operator.client.post(path, {"do": "match", "named": payment.reference}).status_code == 409


def test_a_wrong_file_is_told_beside_the_field(operator) -> None:
    for content in (b"<x/>", statement(iban="NL20INGB0001234567"), b"x" * 2_600_000):
        answer = upload(operator, content)
        assert answer.status_code in (413, 422)
        assert 'id="id_file_error"' in text_of(answer) or answer.status_code == 413
    assert upload(operator, b"").status_code == 422


def test_a_refund_by_transfer_is_seen_by_two_people(owner, operator, new_invoice, make_member) -> None:
    payment = request_payment(new_invoice(), None)
    upload(operator, statement(Movement("592.90", reference=payment.reference)))
    refund_all(owner.organization, key="end")
    second = make_operator(make_member, "otto")
    answer = operator.client.post("/operator/bank/transfers/")
    path = answer["Location"]
    assert f"{path}file/" not in text_of(operator.client.get(path))
    assert operator.client.get(f"{path}file/").status_code == 404
    assert answer_asks_for_the_password(second.client.post(path, {"do": "approve"}))
    for member in (operator, second):
        prove(member)
    assert operator.client.post(path, {"do": "approve", "reason": "me"}).status_code == 409
    second.client.post(path, {"do": "approve"})
    assert TransferFile.objects.get().approved_by_id == second.user.pk
    content = operator.client.get(f"{path}file/")
    assert content["Content-Disposition"].startswith("attachment")
    assert b"pain.001.001.09" in content.content
    assert "on its way" in text_of(owner.client.get(f"/organization/payments/{payment.pk}/"))


def answer_asks_for_the_password(answer) -> bool:
    return answer.status_code == 302 and "reauthenticate" in answer["Location"]


def prove(member) -> None:
    answer = member.client.post(
        "/accounts/reauthenticate/", {"password": PASSWORD, "next": "/operator/bank/"}
    )
    assert answer.status_code == 302


def test_nobody_else_finds_the_pages_of_staff(owner, stranger, new_invoice) -> None:
    request_payment(new_invoice(), None)
    for path in (
        "/operator/payments/",
        "/operator/bank/",
        "/operator/bank/lines/x/",
        "/operator/bank/transfers/x/",
    ):
        assert owner.client.get(path).status_code == 404
    for path in ("/operator/bank/transfers/", "/operator/payments/reconcile/", "/operator/bank/"):
        assert owner.client.post(path).status_code == 404


def test_staff_find_payments_and_have_everything_compared(owner, operator, new_invoice) -> None:
    payment = request_payment(new_invoice(), None)
    for wanted in (payment.invoice.number, payment.reference, "Lab of ada"):
        page = text_of(operator.client.get("/operator/payments/", {"q": wanted, "state": "pending"}))
        assert payment.invoice.number in page
    assert payment.invoice.number not in text_of(
        operator.client.get("/operator/payments/", {"state": "paid"})
    )
    operator.client.post("/operator/payments/reconcile/")
    work()
    assert "Nothing: all agree." in text_of(operator.client.get("/operator/payments/"))


def test_a_failed_refund_gets_an_account_from_staff(owner, operator, new_invoice, double) -> None:
    request_payment(new_invoice(), card_of(owner.organization, "stripe"))
    work()
    refund_all(owner.organization, key="end")
    double.taken[Charge.unscoped.get().reference].status = "failed"
    work()
    refund = Refund.objects.get()
    assert refund.state == Refund.State.FAILED
    path = f"/operator/payments/refunds/{refund.pk}/"
    assert path in text_of(operator.client.get("/operator/payments/"))
    wrong = operator.client.post(path, {"name": "Lab", "iban": "DE00 1", "reason": "card closed"})
    assert wrong.status_code == 422
    assert "no IBAN" in text_of(wrong)
    assert 'value="DE00 1"' in text_of(wrong)
    right = {"name": "Lab", "iban": "DE89 3704 0044 0532 0130 00", "reason": "card closed"}
    assert operator.client.post(path, right).status_code == 302
    assert "DE89370400440532013000" in text_of(operator.client.get("/operator/bank/"))
    assert Payment.unscoped.get().refunds.get().provider == "manual"
