"""A consumer withdraws without logging in: two steps, a receipt with the time, and a link that carries it out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.test import Client

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.billing.ledger import balance
from cryocloud.web.billing.models import Customer
from cryocloud.web.configuration import configuration
from cryocloud.web.payments.models import Payment, Refund
from cryocloud.web.subscriptions.models import Withdrawal
from web_contracts import DAY, SECOND
from web_data import run_tasks

ADDRESS = "invoices@lab.example"
LINK = re.compile(r"(/withdraw/[\w-]{43}/)")


@pytest.fixture
def consumer(contract):
    Customer.unscoped.update(kind="consumer")
    return contract


def said(contract, **other):
    return {"name": "Ada Byron", "email": ADDRESS, "number": contract.invoices()[0].number} | other


def declare(contract, **other):
    """Both steps from a browser that nobody has logged in with."""
    browser, given = Client(), said(contract, **other)
    first = browser.post("/withdraw/", given)
    assert "Confirm withdrawal" in first.content.decode(), first.content.decode()
    assert not Withdrawal.objects.filter(name=given["name"], settled_at=None).exists()
    return browser.post("/withdraw/", given | {"step": "confirm"})


def receipts():
    run_tasks()
    return [one for one in mail.outbox if one.subject.startswith("Receipt")]


def words(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_the_footer_of_public_pages_leads_there(contract, client, monkeypatch):
    for page in ("/", "/plans/", "/faq/", "/accounts/login/"):
        assert 'href="/withdraw/">Withdraw from a contract here' in client.get(page).content.decode(), page
    assert client.get("/withdraw/").status_code == 200
    unsold = configuration().model_copy(update={"billing": None})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: unsold)
    assert "/withdraw/" not in client.get("/plans/").content.decode()
    assert client.get("/withdraw/").status_code == client.post("/withdraw/").status_code == 404


@pytest.mark.requirement("SUB-03")
def test_the_receipt_has_the_moment_and_its_link_carries_it_out_once(consumer, with_card):
    consumer.subscribe(provider="stripe")
    consumer.first_by_card()
    consumer.clock.forward(days=3)
    answer = declare(consumer)
    declared = Withdrawal.objects.get()
    arrived = f"{declared.created_at:%-d %B %Y, %H:%M:%S} UTC"
    assert arrived in words(answer)
    (receipt,) = receipts()
    assert receipt.to == [ADDRESS]
    assert arrived in receipt.subject
    assert arrived in receipt.body
    assert (
        declared.created_at
        <= Withdrawal.objects.get().answered_at
        < declared.created_at + timedelta(minutes=1)
    )

    link = LINK.search(receipt.body)[1]
    assert link.split("/")[2] not in str(Withdrawal.objects.values().get())
    consumer.clock.forward(days=20)
    browser = Client()
    assert "Carry out the withdrawal now" in words(browser.get(link))
    assert consumer.state == "active"
    assert "is carried out" in words(browser.post(link))
    held = consumer.held
    assert (held.state, consumer.state) == ("ended", "retrieval")
    assert held.end_wished_at == declared.created_at
    assert (
        sum(Refund.objects.values_list("amount_cents", flat=True))
        == Payment.unscoped.get().received_cents
        > 0
    )
    assert balance("revenue") == balance("vat") == balance("receivable") == 0
    assert browser.get(link).status_code == browser.post(link).status_code == 404
    assert [one.kind for one in consumer.invoices()] == ["invoice", "credit_note"]
    event = AuditEvent.objects.get(verb="withdrawal.carried_out")
    assert (event.via, event.organization_id) == ("mailed link", consumer.organization.pk)
    run_tasks()
    letter = next(one for one in mail.outbox if "refunded" in one.subject)
    assert arrived in letter.body
    history = words(consumer.owner.client.get("/organization/"))
    assert "a mailed link" in history


def test_an_order_that_waits_for_its_payment_is_dropped(consumer, with_card):
    consumer.subscribe(provider="stripe")
    declare(consumer)
    link = LINK.search(receipts()[0].body)[1]
    assert "is dropped" in words(Client().post(link))
    assert consumer.held.state == "dropped"
    assert balance("receivable") == 0
    run_tasks()
    assert any("Your order is withdrawn" in one.subject for one in mail.outbox)


@pytest.mark.parametrize("late", [-1, 1])
def test_fourteen_days_last_to_the_midnight_after_the_last_of_them(consumer, late):
    """Ordered on 31 January, by the clocks of Amsterdam; the moment of the declaration counts."""
    consumer.subscribe()
    consumer.clock.set(datetime(2027, 2, 14, 23, tzinfo=UTC) + late * 2 * SECOND)
    declare(consumer)
    (receipt,) = receipts()
    assert bool(LINK.search(receipt.body)) == (late < 0)
    assert consumer.state == "active"


@pytest.mark.parametrize(
    "wrong", [{"number": "LAB-1999-000001"}, {"email": "eve@uni.example"}, {"number": "Q-00001"}], ids=str
)
def test_everybody_gets_the_same_answer_and_nobody_else_a_mail(consumer, wrong):
    consumer.subscribe()
    run_tasks()
    mail.outbox.clear()
    right, false = declare(consumer), declare(consumer, name="Eve", **wrong)
    known, unknown = Withdrawal.objects.order_by("created_at")

    def neutral(answer, declared):
        plain = words(answer).replace(declared.pk, "")
        return re.sub(r"\d\d:\d\d:\d\d|[0-9a-zA-Z]{32,}", "", plain)

    assert right.status_code == false.status_code == 200
    assert neutral(right, known) == neutral(false, unknown)
    assert [one.to for one in receipts()] == [[ADDRESS]]
    unknown.refresh_from_db()
    assert (unknown.subscription, unknown.answered_at, unknown.settled_at) == (None, None, None)


def test_a_business_gets_a_receipt_and_a_person_sees_to_it(contract, operator):
    contract.subscribe()
    declare(contract, number=f" {contract.invoices()[0].number.lower()} ", email=ADDRESS.upper())
    (receipt,) = receipts()
    assert receipt.to == [ADDRESS]
    assert not LINK.search(receipt.body)
    declared = Withdrawal.objects.get()
    address = f"/operator/withdrawals/{declared.pk}/"
    assert address in operator.client.get("/operator/subscriptions/").content.decode()
    assert "The customer is a business" in words(operator.client.get(address))
    refused = operator.client.post(address, {"decision": "carry_out", "reason": "kindness"})
    assert refused.status_code == 409
    assert operator.client.post(address, {"decision": "settle", "reason": ""}).status_code == 422
    assert (
        operator.client.post(address, {"decision": "settle", "reason": "answered by mail"}).status_code == 302
    )
    assert "answered by mail" in words(operator.client.get(address))
    assert address not in operator.client.get("/operator/subscriptions/").content.decode()
    assert contract.state == "active"


def test_what_is_not_confirmed_staff_carries_out(consumer, operator):
    consumer.subscribe()
    declare(consumer)
    link = LINK.search(receipts()[0].body)[1]
    declared = Withdrawal.objects.get()
    consumer.clock.set(declared.created_at + 31 * DAY)
    assert Client().get(link).status_code == 404
    address = f"/operator/withdrawals/{declared.pk}/"
    assert consumer.owner.client.get(address).status_code == 404
    assert "the law grants it" in words(operator.client.get(address))
    assert (
        operator.client.post(address, {"decision": "carry_out", "reason": "called them"}).status_code == 302
    )
    assert consumer.state == "retrieval"
    again = operator.client.post(address, {"decision": "settle", "reason": "twice"})
    assert again.status_code == 409


def test_a_second_refund_has_no_link_but_is_granted_by_a_person(consumer, operator):
    consumer.subscribe()
    declare(consumer)
    Client().post(LINK.search(receipts()[0].body)[1])
    consumer.clock.forward(days=1)
    consumer.subscribe()
    mail.outbox.clear()
    declare(consumer, number=consumer.invoices()[-1].number)
    (receipt,) = receipts()
    assert not LINK.search(receipt.body)
    declared = Withdrawal.objects.get(settled_at=None)
    operator.client.post(
        f"/operator/withdrawals/{declared.pk}/", {"decision": "carry_out", "reason": "by law"}
    )
    assert consumer.state == "retrieval"
    assert balance("receivable") == 0


def test_what_was_typed_stays_and_nothing_is_kept_before_it_is_confirmed(contract):
    contract.subscribe()
    browser = Client()
    wrong = browser.post("/withdraw/", said(contract, email="ada at lab"))
    assert wrong.status_code == 422
    assert "Ada Byron" in wrong.content.decode()
    assert "ada at lab" in wrong.content.decode()
    back = browser.post("/withdraw/", said(contract) | {"step": "change"})
    assert 'value="Ada Byron"' in back.content.decode()
    assert "Confirm withdrawal" not in back.content.decode()
    link_like = browser.post("/withdraw/", said(contract, name="see www.evil.example") | {"step": "confirm"})
    assert link_like.status_code == 422
    assert not Withdrawal.objects.exists()


def test_sent_twice_it_is_one_and_there_are_limits(contract):
    contract.subscribe()
    declare(contract)
    browser = Client()
    again = browser.post("/withdraw/", said(contract) | {"step": "confirm"})
    assert again.status_code == 200
    assert Withdrawal.objects.count() == 1
    for number in range(30):
        last = browser.post("/withdraw/", said(contract, name=f"Ada {number}") | {"step": "confirm"})
    assert last.status_code == 429
    assert "Ada 29" in last.content.decode()
    assert Withdrawal.objects.count() == 19
    assert len(receipts()) == 5
