"""A plan from the trial to the closing of the organization in Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.db import connection

from cryocloud.web.billing.models import Customer
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.models import Quote, Subscription, Withdrawal
from platform_server import serving
from web.browsing import Look, looking
from web.subscriptions.conftest import EXAMPLE
from web_contracts import DAY, Contract
from web_data import run_tasks

LOOKS = [(width_px, scheme) for width_px in (1280, 360) for scheme in ("light", "dark")]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def seen(
    request: pytest.FixtureRequest, contract: Contract, home: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Look, Any]]:
    """A tab, and a way to have another for somebody else."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    width_px, scheme = request.param
    context = {"viewport": {"width": width_px, "height": 800}, "color_scheme": scheme}
    database = str(connection.settings_dict["NAME"])
    sold = {"CRYOCLOUD_BILLING": str(EXAMPLE), "CRYOCLOUD_TEST_SEAMS": "on"}
    with (
        serving(home, database, **sold) as site,
        looking(site.address, contract.owner.client, **context) as look,
    ):
        yield look, site.address
        assert [said for said in look.found() if "422" not in said] == []


def words_of(look: Look, path: str, name: str) -> str:
    look.visit(path)
    return words_here(look, name)


def words_here(look: Look, name: str) -> str:
    look.picture(name)
    assert look.barriers() == [], name
    return " ".join(look.page.inner_text("body").split())


def press(look: Look, button: str, path: str = "/organization/plan/") -> None:
    look.page.get_by_role("button", name=button).click()
    look.page.wait_for_url(f"**{path}")
    look.page.wait_for_load_state()


def test_a_plan_is_walked_from_the_trial_to_the_end(contract: Contract, seen: Any) -> None:
    look, page = seen[0], seen[0].page
    Customer.unscoped.all().delete()
    words = words_of(look, "/organization/plan/", "plan-trial")
    assert "Trial" in words and "The trial ends" in words
    page.get_by_role("link", name="Choose a plan").click()
    assert "490.00 EUR without VAT a month" in words_here(look, "plan-choose")
    page.get_by_role("link", name="Choose Lab, monthly").click()
    words_here(look, "plan-who-pays")
    for label, text in (
        ("Name", "Universiteit Voorbeeld"), ("Street and number", "Domplein 29"), ("Postal code", "3512 JE"),
        ("City", "Utrecht"), ("Email for invoices", "invoices@lab.example"),
    ):  # fmt: skip
        page.get_by_label(label, exact=False).first.fill(text)
    page.get_by_label("Country").select_option("NL")
    press(look, "Go on", "/organization/plan/order/?plan=lab&interval=monthly")
    assert "592.90 EUR, of which 102.90 EUR VAT" in words_here(look, "plan-order")
    press(look, "Order with obligation to pay")
    assert "Plan Lab has begun" in words_here(look, "plan-active")
    words_of(look, "/organization/plan/payment/", "plan-payment")

    contract.at(contract.held.anchor + 14 * DAY)
    assert "A payment is overdue since" in words_of(look, "/organization/plan/", "plan-overdue")
    contract.pay()
    words_of(look, "/organization/plan/limit/", "plan-limit")
    page.get_by_label("At most").fill("250")
    press(look, "Set the limit")

    words_of(look, "/organization/plan/order/?plan=facility&interval=monthly", "plan-upgrade")
    press(look, "Begin now, with obligation to pay")
    contract.pay()
    words_of(look, "/organization/plan/order/?plan=lab&interval=monthly", "plan-downgrade")
    page.get_by_role("button", name="Change on").click()
    page.wait_for_url("**/organization/plan/")
    assert "takes the place of plan Facility" in words_here(look, "plan-downgrade-planned")
    press(look, "Take the change back")

    page.get_by_role("link", name="Deactivate the plan").click()
    assert "goes back the way it came" in words_here(look, "plan-deactivate")
    press(look, "Deactivate the plan")
    assert "The plan has ended" in words_here(look, "plan-retrieval")
    words_of(look, "/organization/plan/close/", "plan-close")
    page.get_by_label("Name of the organization").fill(contract.organization.name)
    press(look, "Close it now")
    assert "is closed since" in words_here(look, "plan-closed")


def test_a_consumer_withdraws_without_logging_in(contract: Contract, seen: Any, operator: Any) -> None:
    look, address = seen
    Customer.unscoped.update(kind="consumer")
    contract.subscribe()
    look.page.context.clear_cookies()
    look.visit("/plans/")
    look.page.get_by_role("link", name="Withdraw from a contract here").click()
    words_here(look, "withdraw")
    number = contract.invoices()[0].number
    for label, text in (("Your name", "Ada Byron"), ("Email", "invoices@lab.example"), ("Number", number)):
        look.page.get_by_label(label, exact=False).first.fill(text)
    look.page.get_by_role("button", name="Withdraw from the contract").click()
    assert number in words_here(look, "withdraw-confirm")
    look.page.get_by_role("button", name="Change something").click()
    assert look.page.get_by_label("Your name").input_value() == "Ada Byron"
    look.page.get_by_role("button", name="Withdraw from the contract").click()
    look.page.get_by_role("button", name="Confirm withdrawal").click()
    look.page.wait_for_load_state()
    assert "It arrived on" in words_here(look, "withdraw-received")
    contract.clock.forward(hours=1)  # the process that serves the pages has gone on meanwhile, this one stood
    run_tasks()
    look.page.context.add_cookies(
        [{"name": "session", "value": operator.client.cookies["session"].value, "url": address}]
    )
    words_of(look, "/operator/subscriptions/", "operator-subscriptions-withdrawal")
    declared = Withdrawal.objects.get()
    words_of(look, f"/operator/withdrawals/{declared.pk}/", "operator-withdrawal")
    look.page.context.clear_cookies()
    words_of(look, link_of(mail.outbox), "withdraw-link")
    look.page.get_by_role("button", name="Carry out").click()
    look.page.wait_for_load_state()
    assert "ended on" in words_here(look, "withdraw-done")


def link_of(mails: list[Any]) -> str:
    found = [re.search(r"(/withdraw/[\w-]{43}/)", one.body) for one in mails]
    return next(one[1] for one in found if one)


def test_staff_writes_a_quote_and_decides_about_a_refund(
    contract: Contract, seen: Any, operator: Any
) -> None:
    look, address = seen
    contract.subscribe()
    services.deactivate(**contract.by)
    contract.subscribe()
    services.deactivate(**contract.by, words="We ordered the wrong plan.")
    services.take_back(**contract.by)
    look.page.context.add_cookies(
        [{"name": "session", "value": operator.client.cookies["session"].value, "url": address}]
    )
    words_of(look, f"/operator/organizations/{contract.organization.pk}/quotes/new/", "operator-write-quote")
    page = look.page
    for label, text in (
        ("Name of the plan", "Institute"), ("Price in EUR", "24000"), ("Compute in hours", "2000"),
        ("Storage in TB", "80"), ("Order number", "PO-7781"), ("Open until", "2027-02-28"), ("Words", "As discussed."),
    ):  # fmt: skip
        page.get_by_label(label, exact=False).first.fill(text)
    page.get_by_role("button", name="Send the quote").click()
    page.wait_for_url("**/operator/quotes/*/")
    words_here(look, "operator-quote")
    words_of(look, "/operator/subscriptions/", "operator-subscriptions")
    held = Subscription.unscoped.latest("created_at")
    words_of(look, f"/operator/subscriptions/{held.pk}/", "operator-subscription")
    look.page.context.add_cookies(
        [{"name": "session", "value": contract.owner.client.cookies["session"].value, "url": address}]
    )
    words_of(look, f"/organization/quotes/{Quote.unscoped.get().pk}/", "quote")
    words_of(look, "/organization/plan/", "plan-with-quote")
