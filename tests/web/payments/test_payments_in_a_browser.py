"""The pages of payments in Chromium: wide and narrow, light and dark, and paying by way of a provider's page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.db import connection

from bank_statements import Movement, statement
from cryocloud.web.accounts.models import User
from cryocloud.web.payments.alarms import raise_alarm
from cryocloud.web.payments.method_changes import begin_method_change
from cryocloud.web.payments.models import Charge, MethodChange, Payment, Refund, StatementLine
from cryocloud.web.payments.services import refund_all, request_payment
from cryocloud.web.payments.statements import take_statement
from cryocloud.web.payments.transfers import make_transfer_file
from payment_desk import card_of, work
from payment_dialect_stripe import WEBHOOK_SECRET
from platform_server import serving
from web.browsing import looking
from web.payments.conftest import EXAMPLE
from web_contracts import Contract

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def desk(owner, make_member, new_invoice, double):
    """Payments in every state, lines to match, refunds that wait; the paths of all pages."""
    User.objects.filter(pk=owner.user.pk).update(is_operator=True)
    owner.user.refresh_from_db()
    card = card_of(owner.organization, "stripe")
    request_payment(new_invoice("paid"), card)
    work()
    bank = [request_payment(new_invoice(key), None) for key in ("came", "back")]
    content = statement(
        *(Movement("592.90", reference=one.reference, bank_reference=one.pk) for one in bank),
        Movement("500.00", bank_reference="B2", text="Rechnung fuer Rechenzeit im Fruehjahr / AG Strukturbiologie"),
        Movement("12.00", bank_reference="B3", iban="", name=""),
    )  # fmt: skip
    take_statement(actor=owner.actor, name="2026-11.xml", content=content)
    refund_all(owner.organization, key="end")
    file = make_transfer_file(actor=owner.actor)
    double.declines.append("Your card has insufficient funds.")
    failed = request_payment(new_invoice("failed"), card)
    work()
    awaited = request_payment(new_invoice("awaited"), None)
    Refund.objects.filter(charge__isnull=False).update(state="failed", failure="The card was closed.")
    raise_alarm("paid_there_only", "x", "Charge pi_000007 of stripe is paid there, here it is failed.")
    Contract(owner, None).subscribe()
    begin_method_change(actor=owner.actor, organization=owner.organization, provider="stripe")
    line = StatementLine.objects.filter(state="waiting").order_by("-amount_cents").first()
    refund = Refund.objects.get(state="failed")
    return {
        "list": "/organization/payments/",
        "awaited": f"/organization/payments/{awaited.pk}/",
        "failed": f"/organization/payments/{failed.pk}/",
        "paid": f"/organization/payments/{Payment.unscoped.get(invoice__key='paid').pk}/",
        "how": "/organization/plan/payment/",
        "payments": "/operator/payments/",
        "bank": "/operator/bank/",
        "line": f"/operator/bank/lines/{line.pk}/",
        "transfer": f"/operator/bank/transfers/{file.pk}/",
        "refund": f"/operator/payments/refunds/{refund.pk}/",
    }


def environment(double) -> dict[str, str]:
    return {
        "CRYOCLOUD_BILLING": str(EXAMPLE),
        "CRYOCLOUD_STRIPE_KEY": "sk_test_of_the_double",
        "CRYOCLOUD_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "CRYOCLOUD_STRIPE_URL": double.address,
        "CRYOCLOUD_MOLLIE_KEY": "test_of_the_double",
        "CRYOCLOUD_MOLLIE_URL": double.address,
    }


def test_no_page_is_wider_than_the_screen_and_the_browser_complains_of_nothing(owner, desk, double, home):
    wrong = []
    with serving(home, str(connection.settings_dict["NAME"]), **environment(double)) as served:
        for scheme, width_px in (("light", 360), ("dark", 360), ("light", 1280), ("dark", 1280)):
            size = {"width": width_px, "height": 800}
            with looking(served.address, owner.client, viewport=size, color_scheme=scheme) as look:
                for name, path in desk.items():
                    look.visit(path)
                    keep_picture(look.page, f"{name}_{width_px}_{scheme}.png")
                    wrong += [f"{path}: {said}" for said in [*look.found(), look.overflow(width_px)] if said]
    assert not wrong


def test_the_policy_of_the_pages_lets_an_owner_go_to_the_provider(owner, desk, double, home):
    """A redirect after a form would be refused by it."""
    with (
        serving(home, str(connection.settings_dict["NAME"]), **environment(double)) as served,
        looking(served.address, owner.client) as look,
    ):
        look.visit(desk["awaited"])
        look.page.click("button[value=stripe]")
        look.page.wait_for_url(f"{double.address}/pay/**")
        reached = look.page.url
    assert reached == Charge.unscoped.get(is_checkout=True).address


def test_an_owner_goes_on_to_leave_another_card(owner, desk, double, home):
    with (
        serving(home, str(connection.settings_dict["NAME"]), **environment(double)) as served,
        looking(served.address, owner.client) as look,
    ):
        look.visit(desk["how"])
        look.page.click("button[value=mollie]")
        look.page.wait_for_url(f"{double.address}/pay/**")
        reached = look.page.url
    assert reached == MethodChange.unscoped.latest("created_at").address


def keep_picture(page, name):
    """For a person to look at, where a folder for it is named."""
    folder = os.environ.get("PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / name), full_page=True)
