"""Another card while no invoice is open: left on the provider's page, for nothing, and charged from then on."""

from __future__ import annotations

import re

import pytest
from django.core import mail

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.billing.models import LedgerEntry
from cryocloud.web.organizations.models import Role
from cryocloud.web.payments.models import Charge, Difference, Method, MethodChange, Payment
from cryocloud.web.payments.reconciliation import reconcile
from cryocloud.web.payments.services import request_payment
from cryocloud.web.subscriptions.models import Subscription
from payment_desk import card_of, post_event, tick, work
from payment_dialect_stripe import stripe_event
from web_books import issue, make_customer
from web_contracts import Contract

pytestmark = pytest.mark.django_db
PAGE = "/organization/plan/payment/"
PROVIDERS = ("stripe", "mollie")


@pytest.fixture
def contract(owner, clock, _sold):
    make_customer(owner.organization)
    made = Contract(owner, clock)
    made.subscribe()
    made.pay()
    return made


def begin(contract, provider="stripe"):
    answer = contract.owner.client.post(f"{PAGE}new/", {"provider": provider})
    assert answer.status_code == 302, answer.content.decode()
    return MethodChange.unscoped.latest("created_at"), answer["Location"]


def look(change):
    MethodChange.unscoped.update(ask_at="2000-01-01T00:00Z")
    tick()
    change.refresh_from_db()
    return change


def words(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_card_is_left_and_the_next_invoice_is_taken_from_it(contract, double, provider):
    entries = LedgerEntry.objects.count()
    change, onward = begin(contract, provider)
    client = contract.owner.client
    (page,) = double.of_order(change.pk)
    assert page.cents == 0
    assert change.address in client.get(onward).content.decode()
    assert "not confirmed" in words(client.get(PAGE))
    double.pay(change.pk, last4="1881")
    assert look(change).state == "done"
    assert "Invoices are paid by Visa ending in 1881" in words(client.get(PAGE))
    assert client.get(onward)["Location"] == PAGE
    assert LedgerEntry.objects.count() == entries
    work()
    assert any("Visa ending in 1881" in one.body for one in mail.outbox)
    event = AuditEvent.objects.get(verb="method.changed")
    assert event.actor_id == contract.owner.user.pk

    contract.at(contract.held.running_month.until_at)
    tick()
    charge = Charge.unscoped.get()
    assert (charge.state, charge.method_id, charge.provider) == ("paid", change.method_id, provider)
    assert double.taken[charge.reference].mandate == page.mandate
    reconcile()
    assert not Difference.objects.filter(kind__startswith="provider").exists()


def test_the_message_of_the_provider_settles_it_at_once(contract, double):
    change, _ = begin(contract)
    page = double.pay(change.pk)
    session = {"id": page.session, "object": "checkout.session", "payment_intent": None}
    body, headers = stripe_event(session, "checkout.session.completed", "evt_setup")
    assert post_event("stripe", body, headers).status_code == 204
    work()
    change.refresh_from_db()
    assert change.state == "done"

    other, _ = begin(contract, "mollie")
    page = double.pay(other.pk)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert post_event("mollie", f"id={page.reference}".encode(), form).status_code == 204
    work()
    other.refresh_from_db()
    assert other.state == "done"
    assert Method.unscoped.get(ended_at=None).provider == Subscription.unscoped.get().provider == "mollie"


def test_a_payment_that_waits_for_its_next_try_is_tried_with_the_new_card(contract, double):
    double.declines.extend(["The card has expired."] * 2)
    old = card_of(contract.owner.organization, "stripe")
    payment = request_payment(issue(contract.owner.organization), old)
    work()
    payment.refresh_from_db()
    assert payment.state == "failed"
    double.declines.clear()
    change, _ = begin(contract)
    double.pay(change.pk)
    look(change)
    payment.refresh_from_db()
    assert payment.method_id == change.method_id != old.pk
    contract.clock.set(payment.next_try_at)
    tick()
    assert Payment.unscoped.get(pk=payment.pk).state == "paid"
    assert Charge.unscoped.filter(payment=payment).latest("number").method_id == change.method_id


def test_what_is_left_undone_changes_nothing(contract, double):
    first, _ = begin(contract)
    second, _ = begin(contract, "mollie")
    first.refresh_from_db()
    assert (first.state, second.state) == ("cancelled", "pending")
    contract.clock.forward(hours=25)
    assert look(second).state == "cancelled"
    assert not Method.unscoped.exists()
    assert Subscription.unscoped.get().provider == "manual"


@pytest.mark.parametrize("fault", ["down", "lost"])
def test_a_provider_without_an_answer_has_one_page_in_the_end(contract, double, fault):
    begin(contract)
    MethodChange.unscoped.all().delete()
    double.taken.clear()
    double.faults.append(fault)
    answer = contract.owner.client.post(f"{PAGE}new/", {"provider": "stripe"})
    assert answer.status_code == 503
    assert "Nothing was changed" in words(answer)
    change, _ = begin(contract)
    assert change.state == "pending"
    assert len([one for one in double.taken.values() if one.status == "open"]) == 1


def test_only_owners_and_only_what_is_offered(contract, make_member, stranger):
    change, onward = begin(contract)
    assert contract.owner.client.post(f"{PAGE}new/", {"provider": "manual"}).status_code == 422
    for role in (Role.ADMIN, Role.EDITOR, Role.VIEWER):
        member = make_member(contract.owner.organization, role, name=f"m{role}")
        assert member.client.post(f"{PAGE}new/", {"provider": "stripe"}).status_code == 403
        assert member.client.get(onward).status_code in (403, 404)
    assert stranger.client.get(onward).status_code == 404
    assert stranger.client.post(f"{PAGE}new/", {"provider": "stripe"}).status_code == 409
    assert MethodChange.unscoped.get().pk == change.pk


def test_a_provider_that_refuses_is_quoted(contract, double, monkeypatch):
    monkeypatch.setattr("payment_dialect_mollie.ZERO_BY", "paypal")
    answer = contract.owner.client.post(f"{PAGE}new/", {"provider": "mollie"})
    assert answer.status_code == 409
    assert "lower than the minimum" in words(answer)
    assert "did not succeed" in words(contract.owner.client.get(PAGE))
