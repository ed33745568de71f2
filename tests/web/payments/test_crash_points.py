"""kill -9 at every named point of handling money; after the next turn nothing is double, nothing lost, all agree."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from bank_statements import Movement, statement
from cryocloud.web.billing.ledger import balance
from cryocloud.web.billing.models import Invoice
from cryocloud.web.payments.models import Charge, Difference, Payment, Refund, StatementLine, TransferFile
from cryocloud.web.payments.reconciliation import reconcile
from cryocloud.web.payments.services import begin_checkout, refund_all, request_payment
from cryocloud.web.payments.statements import take_statement
from payment_desk import GROSS_CENTS, card_of, the_payment, work
from payment_dialect_stripe import WEBHOOK_SECRET, stripe_event
from web_books import EXAMPLE

pytestmark = pytest.mark.django_db(transaction=True)
TESTS = Path(__file__).parents[2]
SOURCES = TESTS.parent / "src" / "cryocloud" / "web"
POINTS = sorted(
    {
        name
        for path in SOURCES.rglob("*.py")
        for name in re.findall(r'crash_point\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
)
QUICK = ("charge:after-provider", "refund:after-provider")


class Desk:
    """What a story needs: people, an invoice, the provider, and processes that take turns."""

    def __init__(self, owner, operator, new_invoice, double, home, provider) -> None:
        self.owner, self.operator, self.new_invoice, self.double = owner, operator, new_invoice, double
        self.home, self.provider = home, provider
        self.turn = ("work", "")

    def take_turn(self, crash_at: str = "") -> int:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CRYOCLOUD_")},
            **{name: os.environ[name] for name in ("CRYOCLOUD_DATABASE",) if name in os.environ},
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(SOURCES.parents[1]), os.environ.get("PYTHONPATH", "")]),
            "DJANGO_SETTINGS_MODULE": "served_settings",
            "TEST_DATABASE": str(connection.settings_dict["NAME"]),
            "CRYOCLOUD_HOME": str(self.home),
            "CRYOCLOUD_SECRET_KEY": settings.SECRET_KEY,
            "CRYOCLOUD_TEST_SEAMS": "on",
            "CRYOCLOUD_BILLING": str(EXAMPLE),
            "CRYOCLOUD_STRIPE_KEY": "sk_test_of_the_double",
            "CRYOCLOUD_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "CRYOCLOUD_STRIPE_URL": self.double.address,
            "CRYOCLOUD_MOLLIE_KEY": "test_of_the_double",
            "CRYOCLOUD_MOLLIE_URL": self.double.address,
            "CRASH_AT": crash_at,
        }  # fmt: skip
        command = [sys.executable, str(TESTS / "crash_turn.py"), *self.turn]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode not in (0, -signal.SIGKILL):
            raise AssertionError(done.stderr[-3000:])
        return done.returncode


@pytest.fixture
def operator(make_member):
    member = make_member(name="olga")
    member.user.is_operator = True
    member.user.save()
    return member


def charge_story(desk):
    request_payment(desk.new_invoice(), card_of(desk.owner.organization, desk.provider))
    return lambda: assert_paid(desk)


def assert_paid(desk):
    assert the_payment().state == Payment.State.PAID
    assert desk.double.kept_cents == GROSS_CENTS
    assert balance("receivable") == 0


def refund_story(desk):
    charge_story(desk)
    work()
    refund_all(desk.owner.organization, key="end")

    def hold():
        assert Refund.objects.get().state == Refund.State.EXECUTED
        assert desk.double.kept_cents == 0

    return hold


def webhook_story(desk):
    asked = {
        "actor": desk.owner.actor,
        "organization": desk.owner.organization,
        "invoice": desk.new_invoice(),
    }
    begin_checkout(**asked, provider=desk.provider)
    taken = desk.double.pay(Charge.unscoped.get().pk)
    body, headers = stripe_event({"id": taken.reference, "object": "payment_intent"})
    if desk.provider == "mollie":
        body, headers = f"id={taken.reference}".encode(), {}
    told = {"provider": desk.provider, "body": body.decode(), "headers": headers}
    (desk.home / "event.json").write_text(json.dumps(told), encoding="utf-8")
    desk.turn = ("receive", str(desk.home / "event.json"))
    return lambda: assert_paid(desk)


def statement_story(desk):
    payments = [request_payment(desk.new_invoice(key), None) for key in ("a", "b")]
    content = statement(
        *(Movement("592.90", reference=one.reference, bank_reference=one.pk) for one in payments),
        Movement("3.00", bank_reference="B3"),
    )
    (desk.home / "bank.xml").write_bytes(content)
    desk.turn = ("statement", str(desk.home / "bank.xml"))

    def hold():
        assert set(Payment.unscoped.values_list("state", flat=True)) == {"paid"}
        assert StatementLine.objects.count() == 3
        assert (balance("receivable"), balance("cash:manual")) == (0, 2 * GROSS_CENTS + 300)

    return hold


def transfer_story(desk):
    payment = request_payment(desk.new_invoice(), None)
    content = statement(Movement("592.90", reference=payment.reference))
    take_statement(actor=desk.operator.actor, name="bank.xml", content=content)
    refund_all(desk.owner.organization, key="end")
    desk.turn = ("transfer", "")

    def hold():
        assert TransferFile.objects.get().refunds.count() == 1

    return hold


def invoice_story(desk):
    desk.turn = ("invoice", desk.owner.organization.pk)

    def hold():
        assert Invoice.unscoped.get().sequence == 1
        assert balance("receivable") == GROSS_CENTS

    return hold


STORIES = {
    "charge": charge_story,
    "refund": refund_story,
    "webhook": webhook_story,
    "statement": statement_story,
    "transfer": transfer_story,
    "invoice": invoice_story,
    "ledger": invoice_story,
}


def assert_survives(desk, point: str) -> None:
    hold = STORIES[point.partition(":")[0]](desk)
    assert desk.take_turn(crash_at=point) == -signal.SIGKILL, f"{point} was not passed"
    desk.double.forget_keys()
    for _ in range(2):
        assert desk.take_turn() == 0
        hold()
    assert reconcile().differences == 0, list(Difference.objects.values_list("words", flat=True))


@pytest.fixture
def desk(owner, operator, new_invoice, double, home):
    return Desk(owner, operator, new_invoice, double, home, "stripe")


@pytest.mark.parametrize("point", QUICK)
def test_a_process_that_is_killed_in_the_middle_of_money(desk, point) -> None:
    assert_survives(desk, point)


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["stripe", "mollie"])
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_is_killed_at_any_named_point(desk, point, provider) -> None:
    desk.provider = provider
    assert_survives(desk, point)


def test_every_kind_of_point_has_a_story() -> None:
    assert {point.partition(":")[0] for point in POINTS} == set(STORIES)
    assert len(POINTS) >= 18
