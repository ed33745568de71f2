"""Plans over the API: what is sold, what an organization has, and the changes that owners make."""

from __future__ import annotations

import pytest

from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.configuration import configuration
from cryocloud.web.organizations.models import Role
from cryocloud.web.subscriptions.models import Subscription


@pytest.fixture
def place(contract):
    return f"/organizations/{contract.organization.pk}/subscription"


def test_what_is_sold_is_told_in_cents(contract):
    sold = contract.owner.api("GET", "/plans").json()
    assert sold["currency"] == "EUR"
    assert [(plan["code"], plan["monthly_cents"]) for plan in sold["items"]] == [
        ("lab", 49_000),
        ("facility", 190_000),
    ]


def test_a_plan_is_ordered_changed_and_deactivated(contract, place):
    owner = contract.owner
    before = owner.api("GET", place).json()
    assert before["organization_state"] == "trial" and before["plan"] is None and len(before["coming"]) == 2
    key = {"Idempotency-Key": "order-1"}
    for _ in range(2):
        answer = owner.api("POST", place, {"plan": "lab", "interval": "monthly"}, **key)
        assert answer.status_code == 201
    assert Subscription.unscoped.count() == 1
    facts = answer.json()
    assert facts["plan"]["code"] == "lab" and facts["is_refundable"]
    assert facts["next_invoice"] == {"at": facts["month_until"], "net_cents": 49_000}
    contract.pay()
    assert (
        owner.api("PUT", f"{place}/spending-limit", {"cents": 5_000}).json()["spending_limit_cents"] == 5_000
    )
    assert (
        owner.api("PATCH", place, {"plan": "lab", "interval": "yearly"}).json()["next_interval"] == "yearly"
    )
    assert owner.api("POST", f"{place}/take-back").json()["next_interval"] is None
    assert owner.api("POST", f"{place}/take-back").status_code == 409
    after = owner.api("POST", f"{place}/deactivation", {}).json()
    assert after["organization_state"] == "retrieval" and after["plan"] is None


def test_wrong_input_is_named_with_its_field(contract, place):
    answer = contract.owner.api("POST", place, {"plan": "gold", "interval": "monthly"})
    assert answer.status_code == 422 and "gold" in answer.json()["fields"]["plan"]
    answer = contract.owner.api("POST", place, {"plan": "lab", "interval": "monthly", "provider": "cash"})
    assert answer.status_code == 422 and "provider" in answer.json()["fields"]
    assert contract.owner.api("PUT", f"{place}/spending-limit", {"cents": -1}).status_code == 422


def test_only_owners_with_a_governing_token_decide(contract, place, make_member):
    order = {"plan": "lab", "interval": "monthly"}
    admin = make_member(contract.organization, Role.ADMIN, name="alan")
    writer = make_member(contract.organization, Role.OWNER, scope=ApiToken.Scope.WRITE, name="wim")
    for person in (admin, writer):
        assert person.api("POST", place, order).status_code == 403
        assert person.api("GET", place).status_code == 200
    assert make_member(name="eve").api("GET", place).status_code == 404


def test_where_nothing_is_sold_there_is_nothing(contract, place, monkeypatch):
    given = configuration().model_copy(update={"billing": None})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: given)
    assert contract.owner.api("GET", "/plans").status_code == 404
    assert contract.owner.api("GET", place).status_code == 404
