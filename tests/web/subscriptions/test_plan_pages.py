"""Each flow of a plan through its pages, as owners, other members, staff and strangers meet them."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.core import mail

from cryocloud.web.billing.models import Customer
from cryocloud.web.configuration import configuration
from cryocloud.web.core.tasks import run_next
from cryocloud.web.organizations.models import Role
from cryocloud.web.payments.models import Refund
from cryocloud.web.subscriptions.models import Quote, RefundReview, Subscription
from web_books import make_customer
from web_contracts import DAY, SECOND

PLAN = "/organization/plan/"
DETAILS = {
    "kind": "business",
    "name": "Universiteit Voorbeeld",
    "street": "Domplein 29",
    "postal_code": "3512 JE",
    "city": "Utrecht",
    "country": "NL",
    "email": "invoices@lab.example",
}
ORDER = {"plan": "lab", "interval": "monthly", "provider": "manual"}


def text_of(person, path=PLAN, status=200):
    answer = person.client.get(path)
    assert answer.status_code == status, answer.content[:300]
    return words(answer)


def words(answer):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def key_of(person, path):
    return re.search(r'name="order_key" value="([^"]+)"', person.client.get(path).content.decode()).group(1)


def hidden(person, plan="lab", interval="monthly"):
    """What the form of an order holds besides what is typed."""
    page = person.client.get(f"{PLAN}order/?plan={plan}&interval={interval}").content.decode()
    return dict(re.findall(r'<input type="hidden" name="(order_key|shown_for)" value="([^"]*)"', page))


def send(person, plan="lab", **given):
    return person.client.post(f"{PLAN}order/", ORDER | {"plan": plan} | hidden(person, plan) | given)


def letters():
    while run_next("test"):
        pass
    return [one.subject for one in mail.outbox]


@pytest.fixture
def owner(contract):
    return contract.owner


def test_an_owner_says_who_pays_and_orders_a_plan_whose_total_is_known(contract, owner):
    Customer.unscoped.all().delete()
    page = text_of(owner, f"{PLAN}choose/")
    assert "490.00 EUR without VAT a month" in page and "4,900.00 EUR without VAT a year" in page
    assert "100 hours of compute a month" in page
    answer = send(owner, **DETAILS | {"postal_code": ""})
    assert answer.status_code == 422
    assert "Give the postal code" in words(answer) and "Domplein 29" in answer.content.decode()
    answer = send(owner, **DETAILS)
    assert not Subscription.unscoped.exists()
    page = text_of(owner, answer.url)
    assert "592.90 EUR, of which 102.90 EUR VAT" in page and "Domplein 29" in page
    answer = send(owner)
    assert answer.status_code == 302
    page = text_of(owner)
    assert "Plan Lab" in page and "100 h 00 min left" in page
    assert "592.90 EUR" in page
    assert "28 February 2027" in page
    assert any("Plan Lab has begun" in one for one in letters())


def test_nobody_orders_at_another_total_than_the_page_said(contract, owner):
    shown = hidden(owner)
    Customer.unscoped.update(country="US", vat_id="")
    answer = owner.client.post(f"{PLAN}order/", ORDER | shown)
    assert answer.status_code == 422 and "who pays was changed since" in words(answer)
    assert "490.00 EUR, of which 0.00 EUR VAT" in words(answer)
    assert not Subscription.unscoped.exists()


def test_a_form_that_is_sent_twice_orders_once_and_two_tabs_order_once(contract, owner):
    first, second = hidden(owner), hidden(owner)
    for form, status in ((first, 302), (first, 302), (second, 409)):
        assert owner.client.post(f"{PLAN}order/", ORDER | form).status_code == status
    # What was drawn as a first order never becomes an upgrade.
    answer = owner.client.post(f"{PLAN}order/", ORDER | second | {"plan": "facility"})
    assert answer.status_code == 409 and "changed since this page was opened" in words(answer)
    assert Subscription.unscoped.count() == 1
    assert len(contract.invoices()) == 1


def test_an_upgrade_says_what_it_costs_and_begins_at_once(contract, owner):
    contract.subscribe()
    contract.pay()
    contract.clock.set(contract.held.anchor + 14 * DAY)
    page = text_of(owner, f"{PLAN}order/?plan=facility&interval=monthly")
    assert "1,900.00 EUR" in page and "-245.00 EUR" in page
    answer = send(owner, "facility")
    assert answer.status_code == 302
    assert contract.held.plan.code == "facility"
    assert "500 h 00 min left" in text_of(owner)


def test_a_downgrade_is_shown_with_its_date_and_taken_back(contract, owner):
    contract.subscribe("facility")
    contract.pay()
    page = text_of(owner, f"{PLAN}order/?plan=lab&interval=monthly")
    assert "28 February 2027" in page and "nothing is deleted" in page
    assert send(owner).status_code == 302
    assert "Plan Lab, paid monthly, takes the place of plan Facility" in text_of(owner)
    assert owner.client.post(f"{PLAN}take-back/").status_code == 302
    assert "takes the place" not in text_of(owner)
    assert owner.client.post(f"{PLAN}take-back/").status_code == 409


@pytest.mark.requirement("SUB-03")
def test_deactivation_takes_three_clicks_from_the_settings_of_the_organization(contract, owner):
    contract.subscribe()
    first = owner.client.get("/organization/").content.decode()
    assert f'href="{PLAN}">Plan' in first
    second = owner.client.get(PLAN).content.decode()
    change = re.search(r'<a class="([^"]+)" href="[^"]+choose/">Change the plan', second).group(1)
    leave = re.search(r'<a class="([^"]+)" href="[^"]+deactivate/">Deactivate the plan', second).group(1)
    assert change == leave
    assert "Nothing has been paid yet" in text_of(owner, f"{PLAN}deactivate/")
    key = key_of(owner, f"{PLAN}deactivate/")
    for _ in range(2):  # a double click
        answer = owner.client.post(f"{PLAN}deactivate/", {"order_key": key})
        assert answer.status_code == 302
    assert contract.state == "retrieval"
    assert any("deactivated and refunded" in one for one in letters())
    page = text_of(owner)
    assert "Until 2 March 2027" in page and "Choose a plan" in page


@pytest.mark.parametrize("late", [-1, 1])
def test_the_page_offers_a_full_refund_to_the_second(contract, owner, with_card, late):
    contract.subscribe(provider="stripe")
    paid_at = contract.first_by_card().paid_at
    contract.clock.set(paid_at + 30 * DAY + late * SECOND)
    page = text_of(owner, f"{PLAN}deactivate/")
    offered = "592.90 EUR, all that was paid with VAT, goes back" in page
    assert offered == (late < 0)
    owner.client.post(f"{PLAN}deactivate/")
    assert Refund.objects.exists() == (late < 0)
    assert ("Take the deactivation back" in text_of(owner)) == (late > 0)


def test_a_consumer_reads_of_the_right_of_withdrawal_and_sees_prices_with_vat(contract, owner):
    Customer.unscoped.update(kind="consumer")
    assert "592.90 EUR with VAT a month" in text_of(owner, f"{PLAN}choose/")
    contract.subscribe()
    assert "Right of withdrawal" in text_of(owner, f"{PLAN}deactivate/")
    contract.pay()
    contract.clock.set(contract.held.created_at + 15 * DAY)
    assert "Right of withdrawal" not in text_of(owner, f"{PLAN}deactivate/")


def test_the_spending_limit_is_set_and_wrong_amounts_stay_in_the_field(contract, owner):
    contract.subscribe()
    answer = owner.client.post(f"{PLAN}limit/", {"limit": "-3"})
    assert answer.status_code == 422 and 'value="-3"' in answer.content.decode()
    assert owner.client.post(f"{PLAN}limit/", {"limit": "250.50"}).status_code == 409
    assert "nothing beyond the plan before the first invoice is paid" in text_of(owner)
    contract.pay()
    assert owner.client.post(f"{PLAN}limit/", {"limit": "250.50"}).status_code == 302
    assert contract.held.spending_limit_cents == 25_050
    assert "250.50 EUR a month beyond the plan" in text_of(owner)


def test_the_meter_of_storage_tells_what_is_included_of_what_may_be_kept(contract, owner):
    contract.subscribe()
    assert "used of 10 TB, 5 TB included" in text_of(owner)


def test_an_overdue_payment_says_what_to_do(contract, owner):
    held = contract.subscribe()
    contract.at(held.anchor + 14 * DAY)
    page = text_of(owner)
    assert "A payment is overdue since 14 February 2027" in page and "Nothing is closed by itself" in page
    assert "To be paid" in page and "overdue" in page
    contract.at(held.running_month.until_at)
    assert "nothing is included until it is paid" in text_of(owner)
    contract.pay()
    assert "overdue since" not in text_of(owner)


def test_whoever_may_not_decide_sees_the_plan_and_changes_nothing(contract, owner, make_member):
    contract.subscribe()
    posts = ["order/", "deactivate/", "take-back/", "limit/", "payment/", "close/", "close/later/", "pay/"]
    for role, name in ((Role.VIEWER, "vera"), (Role.ADMIN, "alan")):
        member = make_member(contract.organization, role, name=name)
        page = text_of(member)
        assert "Plan Lab" in page and "Deactivate" not in page and "Change the plan" not in page
        for path in posts:
            assert member.client.post(f"{PLAN}{path}", ORDER).status_code == 403, path
    assert contract.held.end_wished_at is None


def test_where_nothing_is_sold_no_page_exists_and_nothing_leads_there(contract, owner, operator, monkeypatch):
    given = configuration().model_copy(update={"billing": None})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
    for path in ("", "choose/", "order/", "deactivate/", "limit/", "payment/", "close/"):
        assert owner.client.get(f"{PLAN}{path}").status_code == 404, path
    assert owner.client.post(f"{PLAN}pay/").status_code == 404
    assert PLAN not in owner.client.get("/organization/").content.decode()
    assert operator.client.get("/operator/subscriptions/").status_code == 404
    assert "/operator/subscriptions/" not in operator.client.get("/operator/").content.decode()


def test_an_owner_closes_after_the_end(contract, owner):
    contract.subscribe()
    assert owner.client.get(f"{PLAN}close/").status_code == 409
    owner.client.post(f"{PLAN}deactivate/")
    assert "2 March 2027" in text_of(owner, f"{PLAN}close/")
    answer = owner.client.post(f"{PLAN}close/later/", {"until": "2027-05-01"})
    assert answer.status_code == 422 and "before" in words(answer)
    assert owner.client.post(f"{PLAN}close/later/", {"until": "2027-02-10"}).status_code == 302
    assert "10 February 2027, 23:59" in text_of(owner)
    answer = owner.client.post(f"{PLAN}close/", {"name": "wrong"})
    assert answer.status_code == 422 and "exactly" in words(answer)
    owner.client.post(f"{PLAN}close/", {"name": contract.organization.name})
    assert contract.state == "closed"
    assert "is closed since" in text_of(owner)


QUOTE = {
    "name": "Institute",
    "interval": "yearly",
    "price": "24000.00",
    "compute_hours": "2000",
    "storage_tb": "80",
    "compute_rate": "2.80",
    "due_days": "30",
    "po_number": "PO-7781",
    "valid_until": "2027-02-28",
    "words": "As discussed.",
}


@pytest.mark.requirement("TRL-10")
def test_a_quote_is_written_by_staff_and_accepted_by_an_owner(contract, owner, operator, make_member):
    path = f"/operator/organizations/{contract.organization.pk}/quotes/new/"
    assert owner.client.get(path).status_code == 404
    answer = operator.client.post(path, QUOTE | {"valid_until": "2026-01-01"})
    assert answer.status_code == 422 and "still to come" in words(answer)
    assert operator.client.post(path, QUOTE).status_code == 302
    quote = Quote.unscoped.get()
    address = f"/organization/quotes/{quote.pk}/"
    assert "24,000.00 EUR" in text_of(owner, address)
    assert quote.number in text_of(owner)
    accepted = {"name": "Ada Lovelace", "content_sha256": quote.content_sha256}
    viewer = make_member(contract.organization, Role.VIEWER, name="vera")
    assert viewer.client.post(address, accepted).status_code == 403
    assert operator.client.post(address, accepted).status_code == 404
    assert owner.client.post(address, accepted | {"content_sha256": "0" * 64}).status_code == 409
    key = key_of(owner, address)
    for _ in range(2):
        assert owner.client.post(address, accepted | {"order_key": key}).status_code == 302
    quote.refresh_from_db()
    assert quote.accepted_name == "Ada Lovelace" and quote.accepted_at is not None
    held = contract.held
    assert (held.plan.name, held.interval, held.due_days) == ("Institute", "yearly", 30)
    (invoice,) = contract.invoices()
    assert invoice.customer["po_number"] == "PO-7781"
    assert invoice.net_cents == 2_400_000
    assert invoice.due_at == held.anchor + 30 * DAY
    assert contract.allowance.compute_s == 2000 * 3600
    assert owner.client.post(address, accepted).status_code == 409


@pytest.mark.parametrize("way", ["expired", "withdrawn"])
def test_a_quote_that_is_not_open_cannot_be_accepted(contract, owner, operator, way):
    operator.client.post(f"/operator/organizations/{contract.organization.pk}/quotes/new/", QUOTE)
    quote = Quote.unscoped.get()
    if way == "expired":
        contract.clock.set(quote.valid_until)
    else:
        operator.client.post(f"/operator/quotes/{quote.pk}/withdraw/", {"reason": "a typing error"})
    answer = owner.client.post(
        f"/organization/quotes/{quote.pk}/", {"name": "Ada", "content_sha256": quote.content_sha256}
    )
    assert answer.status_code == 409
    assert not Subscription.unscoped.exists()
    assert way.capitalize() in text_of(owner, f"/organization/quotes/{quote.pk}/")


def test_staff_sees_all_subscriptions_and_decides_with_a_reason(contract, owner, operator):
    contract.subscribe()
    owner.client.post(f"{PLAN}deactivate/")
    contract.subscribe()
    owner.client.post(f"{PLAN}deactivate/", {"words": "We ordered the wrong plan."})
    page = text_of(operator, "/operator/subscriptions/")
    assert "Refunds to decide" in page and "We ordered the wrong plan." in page
    assert owner.client.get("/operator/subscriptions/").status_code == 404
    address = f"/operator/subscriptions/{contract.held.pk}/"
    answer = operator.client.post(address, {"decision": "decline", "reason": ""})
    assert answer.status_code == 422
    assert operator.client.post(address, {"decision": "other", "reason": "x"}).status_code == 422
    assert (
        operator.client.post(address, {"decision": "decline", "reason": "used for 3 weeks"}).status_code
        == 302
    )
    assert RefundReview.unscoped.get().is_granted is False
    assert "not granted" in text_of(owner)
    assert "used for 3 weeks" in text_of(owner)


def test_another_organization_of_the_same_person_is_left_alone(contract, owner, make_member):
    """A form counts for the organization for which it was drawn."""
    other = make_member(name="eve")
    make_customer(other.organization)
    answer = other.client.post(f"{PLAN}order/", ORDER | {"organization": contract.organization.pk})
    assert answer.status_code == 404
    assert not Subscription.unscoped.exists()
