"""What an operator sees and decides about people and organizations, over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.data.models import Dataset
from cryocloud.web.metering.allowances import allowance
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project
from platform_world import make_world
from web.visitors import PASSWORD, Visitor

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(make_member):
    """In an organization of their own, and in no other."""
    operator = make_member(name="olga")
    User.objects.filter(pk=operator.user.pk).update(is_operator=True)
    operator.user.refresh_from_db()
    return operator


def text_of(person, path, status=200):
    answer = person.client.get(path)
    assert answer.status_code == status
    return " ".join(answer.content.decode().split())


def change(operator, person, to, reason="left the institute"):
    form = {"to": to, "reason": reason}
    return operator.client.post(f"/operator/people/{person.user.pk}/", form)


def test_people_are_found_by_name_and_address_and_told_with_what_protects_them(operator, owner, make_member):
    EmailAddress.objects.create(user=owner.user, email=owner.user.email, verified=True, primary=True)
    make_member(owner.organization, Role.VIEWER, name="vera")
    page = text_of(operator, "/operator/people/")
    assert all(name in page for name in ("olga", "ada", "vera", owner.organization.name))
    page = text_of(operator, "/operator/people/?q=ADA%40lab")
    assert "ada@lab.example" in page and "vera" not in page
    assert 'data-label="Second factor">yes' in page and "not confirmed" not in page
    Authenticator.objects.filter(user=owner.user).delete()
    EmailAddress.objects.all().delete()
    page = text_of(operator, "/operator/people/?q=ada")
    assert 'data-label="Second factor">no' in page and "not confirmed" in page
    assert "Nobody is found by “nemo”" in text_of(operator, "/operator/people/?q=nemo")
    assert "olga" in text_of(operator, "/operator/people/?state=operators")
    assert "ada@" not in text_of(operator, "/operator/people/?state=operators")


def test_long_lists_have_pages(operator):
    User.objects.bulk_create(User(email=f"p{n}@lab.example", name=f"Person {n}") for n in range(60))
    assert "Page 1 of 2, 61 accounts" in text_of(operator, "/operator/people/")
    assert "Person 0" in text_of(operator, "/operator/people/?page=2")
    Organization.objects.bulk_create(Organization(name=f"Lab {n}") for n in range(30))
    assert "Page 1 of 2, 31 organizations" in text_of(operator, "/operator/organizations/")


def test_closing_an_account_ends_sessions_and_tokens_and_reopening_brings_back_neither(
    operator, owner, client
):
    assert "has no other owner" in text_of(operator, f"/operator/people/{owner.user.pk}/")
    answer = change(operator, owner, "closed", reason="")
    assert answer.status_code == 422 and "Say why" in answer.content.decode()
    assert owner.client.get("/dashboard/").status_code == 200
    assert change(operator, owner, "closed").status_code == 302
    assert owner.client.get("/dashboard/").status_code == 302
    assert owner.api("GET", "/me").status_code == 401
    assert "ada@" in text_of(operator, "/operator/people/?state=closed")
    assert change(operator, owner, "closed").status_code == 409
    assert change(operator, owner, "open", reason="a mistake").status_code == 302
    assert owner.client.get("/dashboard/").status_code == 302
    assert owner.api("GET", "/me").status_code == 401
    Authenticator.objects.filter(user=owner.user).delete()
    EmailAddress.objects.create(user=owner.user, email=owner.user.email, verified=True, primary=True)
    visitor = Visitor(client)
    visitor.log_in(owner.user.email, PASSWORD)
    assert visitor.is_logged_in
    events = AuditEvent.objects.filter(object_id=owner.user.pk, verb__startswith="person.")
    assert [(one.verb, one.actor_id, one.detail["reason"]) for one in events.order_by("pk")] == [
        ("person.deactivated", operator.user.pk, "left the institute"),
        ("person.reactivated", operator.user.pk, "a mistake"),
    ]


def test_operators_do_not_close_themselves_and_need_a_second_factor(operator, owner):
    assert change(operator, operator, "closed").status_code == 409
    assert operator.client.get("/dashboard/").status_code == 200
    Authenticator.objects.filter(user=operator.user).delete()
    assert change(operator, owner, "closed").status_code == 302
    assert User.objects.get(pk=owner.user.pk).is_active


def plan(**given):
    return {"reason": "grant of 2026"} | given


def test_plan_and_limits_are_set_by_hand_and_hold(operator, owner):
    path = f"/operator/organizations/{owner.organization.pk}/"
    assert "Compute in hours" in text_of(operator, path)
    given = plan(compute_hours_max="500", storage_gb_max="1.5", slots_max="2")
    assert operator.client.post(path, given).status_code == 302
    found = Organization.objects.get(pk=owner.organization.pk)
    assert (found.state, found.compute_hours_max, found.storage_bytes_max, found.files_max, found.slots_max) == (
        "trial", 500, 1_500_000_000, None, 2,
    )  # fmt: skip
    told = owner.api("GET", f"/organizations/{owner.organization.pk}/storage").json()
    assert (told["limit_bytes"], told["limit_files"]) == (1_500_000_000, 100_000)
    page = text_of(operator, path)
    assert 'value="1.5"' in page and "500 h 00 min" in page
    assert "compute_hours_max as the plan → 500" in page and "reason: grant of 2026" in page
    event = AuditEvent.objects.get(verb="organization.limits_set")
    assert event.actor_id == operator.user.pk and event.detail["changes"]["slots_max"] == [None, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reason": ""}, "This field is required"),
        ({"compute_hours_max": "-1"}, "greater than or equal to 0"),
        ({"compute_hours_max": "many"}, "Enter a whole number"),
        ({"storage_gb_max": "nan"}, "Enter a number"),
        ({}, "Nothing is different"),
    ],
)
def test_what_cannot_be_a_plan_is_refused_beside_its_field(operator, owner, given, words):
    answer = operator.client.post(f"/operator/organizations/{owner.organization.pk}/", plan(**given))
    assert answer.status_code == 422 and words in answer.content.decode()
    assert Organization.objects.get(pk=owner.organization.pk).state == "trial"
    if "reason" not in given:
        assert "grant of 2026" in answer.content.decode()


def step(operator, organization, **given):
    given = {f"step-{name}": value for name, value in ({"reason": "grant of 2026"} | given).items()}
    return operator.client.post(f"/operator/organizations/{organization.pk}/state/", given)


def test_an_ended_organization_is_read_only(operator, owner):
    assert step(operator, owner.organization, step="end_trial").status_code == 302
    body = {"name": "New", "organization_id": owner.organization.pk}
    assert owner.api("POST", "/datasets", body).status_code == 409
    assert owner.client.get("/dashboard/").status_code == 200


def test_a_trial_is_prolonged_with_a_reason_and_its_owner_is_told(operator, owner):
    until = owner.organization.state_until + timedelta(days=20)
    words = until.strftime("%Y-%m-%dT%H:%M")
    assert step(operator, owner.organization, step="prolong", until=words).status_code == 302
    found = Organization.objects.get(pk=owner.organization.pk)
    assert (found.state, found.state_until) == ("trial", until.replace(second=0, microsecond=0))
    assert allowance(found).until_at == found.state_until
    page = owner.client.get("/organization/").content.decode()
    assert "grant of 2026" in page and "by <bdi>the operator</bdi>" in page
    assert "State changed: Trial" in owner.client.get("/notices/").content.decode()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"step": "prolong"}, "Say until when, in UTC"),
        ({"step": "prolong", "until": "2020-01-01T00:00"}, "give a later moment"),
        ({"step": "prolong", "until": "soon"}, "Enter a valid date/time"),
        ({"step": "close"}, "not one of the available choices"),
        ({"step": "activate", "reason": ""}, "This field is required"),
    ],
)
def test_a_step_that_does_not_exist_is_refused_and_changes_nothing(operator, owner, given, words):
    before = Organization.objects.filter(pk=owner.organization.pk).values().get()
    answer = step(operator, owner.organization, **given)
    assert answer.status_code == 422 and words in answer.content.decode()
    assert Organization.objects.filter(pk=owner.organization.pk).values().get() == before


def test_without_a_plan_an_organization_is_activated_ended_and_closed_by_hand(operator, owner):
    for chosen, state in (
        ("activate", "active"),
        ("end", "retrieval"),
        ("activate", "active"),
        ("end", "retrieval"),
    ):
        assert step(operator, owner.organization, step=chosen).status_code == 302
        assert Organization.objects.get(pk=owner.organization.pk).state == state
    assert step(operator, owner.organization, step="close").status_code == 302
    assert owner.client.get("/dashboard/").status_code == 403


def test_organizations_are_found_by_name_id_and_member(operator, owner, stranger):
    for text in ("of%20ada", owner.organization.pk, "ada%40lab"):
        page = text_of(operator, f"/operator/organizations/?q={text}")
        assert owner.organization.name in page and stranger.organization.name not in page
    assert "No organization is found" in text_of(operator, "/operator/organizations/?state=closed")


def test_nothing_of_the_tenants_data_is_shown_and_the_operator_is_no_member(operator, owner, home):
    world = make_world(owner)
    names = [Dataset.unscoped.get().name, Project.unscoped.get().name, "a.mrc", "coming.mrc", "picks.star"]
    for path in (
        "/operator/",
        "/operator/people/",
        f"/operator/people/{owner.user.pk}/",
        "/operator/organizations/",
        f"/operator/organizations/{owner.organization.pk}/",
        "/operator/work/",
        "/operator/audit/",
    ):
        page = text_of(operator, path)
        assert not [name for name in names if name in page], path
    for path in ("datasets/{dataset_id}", "projects/{project_id}", "jobs/{job_id}", "runs/{run_id}"):
        assert operator.client.get(f"/{path.format(**world.ids)}/").status_code == 404


def test_missing_people_and_organizations_are_missing(operator):
    for path in ("/operator/people/nobody/", "/operator/organizations/none/"):
        text_of(operator, path, status=404)
