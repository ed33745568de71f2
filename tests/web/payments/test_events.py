"""Messages of providers: proven, acted on once, and the same books in whatever order they come."""

from __future__ import annotations

import json
import random
import time

import pytest
import stripe
from django.db import transaction

from cryocloud.web.billing.models import LedgerEntry, Posting
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.tasks import run_next
from cryocloud.web.payments.models import Charge, Payment, ProviderEvent, Refund
from cryocloud.web.payments.providers.mollie import Mollie
from cryocloud.web.payments.services import begin_checkout, refund_all, request_payment
from payment_desk import GROSS_CENTS, card_of, post_event, send_event, the_payment, tick, work
from payment_dialect_stripe import WEBHOOK_SECRET, stripe_event

pytestmark = pytest.mark.django_db
PROVIDERS = ("stripe", "mollie")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def paid_page(owner, new_invoice, double):
    """A checkout that was paid, of which nobody has told yet."""

    def make(provider):
        asked = {"actor": owner.actor, "organization": owner.organization, "invoice": new_invoice()}
        begin_checkout(**asked, provider=provider)
        charge = Charge.unscoped.get()
        double.pay(charge.pk)
        return charge

    return make


def signed(body: bytes, at_s: float, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at_s))
    return {"Stripe-Signature": header}


def forgeries(charge, double):
    (taken,) = double.of_order(charge.pk)
    body, good = stripe_event({"id": taken.reference, "object": "payment_intent"})
    changed = body.replace(b"succeeded", b"succeedeD")
    return {
        "unsigned": ("stripe", body, {}),
        "another secret": ("stripe", body, signed(body, time.time(), "whsec_other")),
        "another body": ("stripe", changed, {"Stripe-Signature": good["Stripe-Signature"]}),
        "too old": ("stripe", body, signed(body, time.time() - 301)),
        "nonsense for a signature": ("stripe", body, {"Stripe-Signature": "t=,v1=\x01"}),
        "signed nonsense": ("stripe", b"[1]", signed(b"[1]", time.time())),
        "no JSON": ("stripe", b"{", signed(b"{", time.time())),
        "not text": ("stripe", b"\xff\xfe", {"Stripe-Signature": good["Stripe-Signature"]}),
        "no id": ("mollie", b"", FORM),
        "two ids": ("mollie", b"id=tr_1&id=tr_2", FORM),
        "an address for an id": ("mollie", b"id=../customers/cst_1", FORM),
        "JSON for a form": ("mollie", json.dumps({"id": "tr_1"}).encode(), {}),
    }


def test_forged_messages_are_refused_and_change_nothing(paid_page, double) -> None:
    charge = paid_page("stripe")
    for name, (provider, body, headers) in forgeries(charge, double).items():
        answer = post_event(provider, body, headers)
        assert answer.status_code == 400, name
        assert answer.json()["error"], name
        work()
    assert the_payment().state != Payment.State.PAID
    assert not ProviderEvent.objects.exists()


def test_who_is_no_provider_here_is_not_heard(paid_page, monkeypatch, db) -> None:
    for name in ("manual", "paypal", "x" * 300):
        assert post_event(name, b"id=tr_1", FORM).status_code == 404


def test_an_idempotency_key_of_a_stranger_does_no_harm(paid_page, double) -> None:
    charge = paid_page("stripe")
    body, headers = stripe_event({"id": double.of_order(charge.pk)[0].reference, "object": "payment_intent"})
    answer = post_event("stripe", body, headers | {"Idempotency-Key": "x"})
    assert answer.status_code == 204


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_message_told_many_times_is_acted_on_once(paid_page, double, heard, provider) -> None:
    charge = paid_page(provider)
    for _ in range(5):
        assert send_event(double, charge, "evt_1").status_code == 204
        work()
    assert heard.paid == [the_payment().pk]
    assert ProviderEvent.objects.count() == 1
    assert ProviderEvent.objects.get().settled_at is not None


def test_kinds_that_nobody_knows_and_things_of_others_are_taken_and_ignored(paid_page, double, heard) -> None:
    charge = paid_page("stripe")
    for number, kind in enumerate(("account.updated", "payout.paid", "a.kind.of.next.year")):
        body, headers = stripe_event({"id": f"x_{number}", "object": "thing"}, kind, f"evt_{number}")
        assert post_event("stripe", body, headers).status_code == 204
    body, headers = stripe_event({"id": "pi_of_another_shop", "object": "payment_intent"}, event_id="evt_9")
    assert post_event("stripe", body, headers).status_code == 204
    assert post_event("mollie", b"id=tr_unknown", FORM).status_code == 204
    work()
    assert heard.paid == []
    assert not ProviderEvent.objects.filter(settled_at=None).exists()
    assert Charge.unscoped.get(pk=charge.pk).state == Charge.State.PENDING


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_a_message_claims_is_not_believed(paid_page, double, heard, provider) -> None:
    """It says “succeeded”; the provider, asked, says that the page is still open."""
    charge = paid_page(provider)
    double.finish(charge.pk, "open")
    send_event(double, charge, "evt_1")
    work()
    assert heard.paid == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_message_that_comes_while_the_provider_is_down_is_acted_on_later(
    paid_page, double, heard, clock, provider
) -> None:
    charge = paid_page(provider)
    double.is_down = True
    send_event(double, charge, "evt_1")
    work()
    clock.forward(hours=20)
    tick()
    assert heard.paid == []
    double.is_down = False
    clock.forward(minutes=2)
    tick()
    assert heard.paid == [the_payment().pk]


class Story:
    """Two payments, one taken back, the rest refunded; messages come late, twice and in any order."""

    def __init__(self, owner, new_invoice, double, provider, chance: random.Random) -> None:
        self.double, self.chance, self.owner = double, chance, owner
        self.provider = provider
        double.takes_days = double.refunds_take_days = True
        page, debit = new_invoice("page"), new_invoice("debit")
        asked = {"actor": owner.actor, "organization": owner.organization}
        begin_checkout(**asked, invoice=page, provider=provider)
        request_payment(debit, card_of(owner.organization, provider))
        work()
        self.page = Charge.unscoped.get(is_checkout=True)
        self.debit = Charge.unscoped.get(is_checkout=False)
        self.waiting: list[tuple[Charge, int]] = []
        self.told = 0

    def run(self) -> list[tuple[str, str, int]]:
        changes = [
            lambda: self.double.pay(self.page.pk),
            lambda: self.double.finish(self.debit.pk, "paid"),
            lambda: self.double.take_back(self.debit.pk, GROSS_CENTS),
        ]
        if self.chance.random() < 0.5:
            changes[0], changes[1] = changes[1], changes[0]
        for change, about in zip(changes, (self.page, self.debit, self.debit), strict=True):
            change()
            self.happened(about)
        self.quiet()
        refund_all(self.owner.organization, key="end")
        work()
        for refund in self.double.refunds.values():
            refund.status = "done"
        self.happened(self.page)
        self.quiet()
        rows = Posting.objects.values_list("entry__key", "account", "cents")
        return sorted((key.partition(":")[0], account, cents) for key, account, cents in rows)

    def happened(self, charge: Charge) -> None:
        self.told += 1
        self.waiting += [(charge, self.told)] * self.chance.randint(1, 3)
        for _ in range(self.chance.randint(0, 3)):
            self.deliver()

    def deliver(self) -> None:
        if self.waiting:
            charge, number = self.waiting.pop(self.chance.randrange(len(self.waiting)))
            assert send_event(self.double, charge, f"evt_{number}").status_code == 204
        self.chance.choice((work, tick, lambda: None))()

    def quiet(self) -> None:
        while self.waiting:
            self.deliver()
        work()
        Refund.objects.update(ask_at=now())
        tick()


def assert_same_books(owner, new_invoice, double, provider, turns) -> None:
    expected = None
    for turn in turns:
        with transaction.atomic():
            books = Story(owner, new_invoice, double, provider, random.Random(turn)).run()
            assert sum(cents for _, _, cents in books) == 0
            assert {(kind) for kind, _, _ in books} >= {"charge", "return", "refund", "refunded"}
            expected = expected or books
            assert books == expected, f"turn {turn}"
            assert LedgerEntry.objects.count() == len({row.key for row in LedgerEntry.objects.all()})
            transaction.set_rollback(True)


@pytest.mark.requirement("BIL-06")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_order_of_messages_does_not_change_the_books(owner, new_invoice, double, provider) -> None:
    assert_same_books(owner, new_invoice, double, provider, range(5))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.requirement("BIL-06")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_many_orders_of_messages_give_the_same_books(owner, new_invoice, double, provider) -> None:
    assert_same_books(owner, new_invoice, double, provider, range(1000, 1150))


def test_a_flood_of_messages_has_one_lookup_waiting_and_made_up_ids_none(paid_page, double) -> None:
    charge = paid_page("mollie")
    before = BackgroundTask.objects.count()
    for number in range(50):
        assert post_event("mollie", f"id=tr_madeup{number}".encode(), FORM).status_code == 204
    assert BackgroundTask.objects.count() == before
    assert not ProviderEvent.objects.exists()
    for _ in range(50):
        assert send_event(double, charge, "").status_code == 204
    assert BackgroundTask.objects.count() == before + 1
    work()
    assert the_payment().state == Payment.State.PAID
    send_event(double, charge, "")
    assert BackgroundTask.objects.filter(state=BackgroundTask.State.READY).count() == 1


def test_a_message_during_a_lookup_has_another_after_it(paid_page, double, monkeypatch) -> None:
    charge = paid_page("mollie")
    looked_up = Mollie.order_of
    told: list[str] = []

    def slow(self, subject):
        found = looked_up(self, subject)
        if not told:
            told.append(subject)
            send_event(double, charge, "")
        return found

    monkeypatch.setattr(Mollie, "order_of", slow)
    send_event(double, charge, "")
    assert run_next("test")
    assert ProviderEvent.objects.get().settled_at is None
    work()
    assert ProviderEvent.objects.get().settled_at is not None
