"""A form that writes into the current organization writes into the one for which it was drawn, or nowhere."""

from __future__ import annotations

import inspect

import pytest
from django.urls import resolve

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.data.models import Dataset
from cryocloud.web.notices.models import Call, Webhook
from cryocloud.web.organizations.models import Invitation, Membership, Organization, Role
from cryocloud.web.payments.models import Method
from cryocloud.web.projects.models import Project
from cryocloud.web.subscriptions import services
from cryocloud.web.subscriptions.models import Subscription
from page_offers import Offers
from platform_addresses import pages
from platform_world import make_world
from web_books import make_customer

FIELD = "organization"
# Every address that writes into the current organization, with something to send there.
ORDERS = {
    "/projects/new/": {"name": "TRPV1"},
    "/datasets/new/": {"name": "Grid 8"},
    "/organization/": {"email": "new@other.example", "role": int(Role.VIEWER)},
    "/organization/name/": {"name": "Renamed"},
    "/organization/webhook/": {"url": "https://1.1.1.1/other"},
    "/organization/webhook/test/": {},
    "/organization/webhook/secret/": {},
    "/organization/webhook/switch/": {"on": "no"},
    "/organization/webhook/remove/": {},
    "/organization/plan/order/": {"plan": "lab", "interval": "monthly", "provider": "manual"},
    "/organization/invoice-details/": {"name": "Other"},
    "/organization/plan/pay/": {},
    "/organization/plan/take-back/": {},
    "/organization/plan/deactivate/": {},
    "/organization/plan/limit/": {"limit": "5"},
    "/organization/plan/payment/": {"by": "transfer"},
    "/organization/plan/payment/new/": {"provider": "stripe"},
    "/organization/plan/close/": {"name": "x"},
    "/organization/plan/close/later/": {"until": "2030-01-01"},
    "/sample-data/": {},
    "/sample-data/run/": {},
}
OWN = [
    page for page in pages() if not page.template.startswith(("/accounts/", "/operator/", "/first-admin/"))
]
READING = {
    "/organization/usage/",
    "/organization/usage/attempts.csv",
    "/organization/plan/",
    "/organization/plan/choose/",
    "/dashboard/",
    "/dashboard/active/",
    "/datasets/",
    "/storage/",
    "/trash/",
    "/invoices/",
    "/organization/payments/",
}


def writes_into_the_current(path: str) -> bool:
    """Whether the view behind an address asks which organization is the current one."""
    return "current_organization" in inspect.unwrap(resolve(path).func).__code__.co_names


@pytest.fixture(autouse=True)
def sample(home):
    """A platform that has sample data to offer."""
    (home / "sample").mkdir()
    (home / "sample/mic_0000.mrc").write_bytes(b"micrograph")


@pytest.fixture
def both(owner, stranger):
    """A person who governs two organizations, with everything in both; at work in the second."""
    Membership.unscoped.create(organization=stranger.organization, user=owner.user, role=Role.ADMIN)
    make_world(owner)
    make_world(stranger)
    owner.client.post("/organization/switch/", {"id": stranger.organization.pk})
    return owner


def rows(organization: Organization) -> list[object]:
    """What the orders would change."""
    kinds = (Project, Dataset, Invitation, Call)
    return [
        Organization.objects.get(pk=organization.pk).name,
        list(Webhook.unscoped.filter(organization=organization).values()),
        *(kind.unscoped.filter(organization=organization).count() for kind in kinds),
    ]


def forms_of(person, path):
    answer = person.client.get(path)
    if answer.status_code != 200 or "text/html" not in answer.headers.get("Content-Type", ""):
        return []
    return Offers(path, answer.content.decode()).forms


def pages_of_plans(make_member):
    """What is offered while a plan runs and is to change, waits for its payment, and has ended."""
    changing, waiting, ended = (make_member(name=name) for name in ("carl", "wanda", "emil"))
    for person in (changing, waiting, ended):
        make_customer(person.organization)
    how = {"plan_code": "facility", "interval": "monthly", "provider": "manual"}
    services.subscribe(actor=changing.actor, organization=changing.organization, **how)
    services.change_plan(
        actor=changing.actor, organization=changing.organization, plan_code="lab", interval="monthly"
    )
    card = Method.unscoped.create(
        organization=changing.organization, provider="stripe", kind="card", words="Visa"
    )
    assert card.charges
    held = services.subscribe(actor=waiting.actor, organization=waiting.organization, **how)
    Subscription.unscoped.filter(pk=held.pk).update(state="ordered")
    services.subscribe(actor=ended.actor, organization=ended.organization, **how)
    services.deactivate(actor=ended.actor, organization=ended.organization)
    order = "/organization/plan/order/?plan=lab&interval=yearly"
    paths = ("/organization/plan/", order, "/organization/plan/deactivate/", "/organization/plan/limit/")
    visits = [(changing, path) for path in (*paths, "/organization/plan/payment/")]
    return [*visits, (waiting, "/organization/plan/"), (ended, "/organization/plan/close/"), (ended, order)]


def test_every_form_that_writes_into_the_current_organization_names_it(owner, make_member):
    fresh = make_member(name="fresh")  # the first visit offers what later ones do not
    ids = make_world(owner).ids
    visits = [(owner, page.path(ids)) for page in OWN]
    visits += [(fresh, "/dashboard/"), (fresh, "/datasets/"), *pages_of_plans(make_member)]
    found = set()
    for person, path in visits:
        for form in forms_of(person, path):
            if writes_into_the_current(form.action):
                assert form.fields.get(FIELD) == person.organization.pk, (path, form.action)
                found.add(form.action)
    assert found == set(ORDERS)


def test_the_orders_above_are_all_there_are():
    own = {page.template for page in OWN if not page.parameters}
    assert {path for path in own if writes_into_the_current(path)} - READING == set(ORDERS)


@pytest.mark.parametrize("path", ORDERS)
def test_what_lies_open_in_another_tab_writes_where_it_was_drawn(both, stranger, path):
    before = rows(stranger.organization)
    both.client.post(path, ORDERS[path] | {FIELD: both.organization.pk})
    assert rows(stranger.organization) == before
    page = both.client.get("/organization/name/").content.decode()
    assert f'value="{both.organization.pk}"' in page, "whoever sends it works there from now on"


@pytest.mark.parametrize("path", ORDERS)
def test_a_form_that_does_not_say_for_which_organization_it_is_changes_nothing(both, stranger, path):
    before = [rows(one.organization) for one in (both, stranger)]
    answer = both.client.post(path, ORDERS[path])
    assert answer.status_code == 409 and "Load its page again" in answer.content.decode()
    assert [rows(one.organization) for one in (both, stranger)] == before


@pytest.mark.parametrize("path", ORDERS)
def test_the_organization_of_strangers_cannot_be_named(owner, stranger, path):
    make_world(owner)
    make_world(stranger)
    before, events = [rows(one.organization) for one in (owner, stranger)], AuditEvent.objects.count()
    for given in (stranger.organization.pk, "x" * 26):
        assert owner.client.post(path, ORDERS[path] | {FIELD: given}).status_code == 404
    assert [rows(one.organization) for one in (owner, stranger)] == before
    assert AuditEvent.objects.count() == events
