"""Name, address, password and API tokens."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client

from cryocloud.web.accounts.models import ApiToken, User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import Count
from cryocloud.web.core.secret_words import hash_of
from cryocloud.web.organizations.models import Membership, Organization
from web.visitors import PASSWORD, mailed_code


@pytest.mark.parametrize(
    "address",
    [
        "/settings/",
        "/settings/tokens/",
        "/organization/",
        "/organization/new/",
        "/organization/name/",
        "/accounts/email/",
        "/accounts/password/change/",
        "/accounts/2fa/",
        "/accounts/sessions/",
    ],
)
def test_pages_of_members_send_visitors_to_log_in(client, member, address):
    assert member.client.get(address).status_code == 200
    answer = client.get(address)
    assert answer.status_code == 302 and answer.url.startswith("/accounts/login/")


@pytest.mark.requirement("RGT-06")
def test_a_person_corrects_their_name(member):
    member.client.post("/settings/", {"name": "  Augusta   Ada King "})
    assert User.objects.get().name == "Augusta Ada King"
    answer = member.client.post("/settings/", {"name": "https://evil.example"})
    assert answer.status_code == 422 and "looks like an address" in answer.content.decode()


@pytest.mark.requirement("RGT-06")
def test_an_address_changes_when_the_code_sent_to_the_new_one_is_entered(member, another):
    member.reauthenticate()
    Count.objects.all().delete()
    member.client.post("/accounts/email/", {"email": "king@lab.example", "action_add": "1"})
    assert User.objects.get().email == "ada@lab.example"
    member.confirm(code="BCDF-GHJK")
    assert User.objects.get().email == "ada@lab.example"
    member.confirm("king@lab.example")
    assert User.objects.get().email == "king@lab.example"
    assert mail.outbox[-1].to == ["ada@lab.example"] and "king@lab.example" in mail.outbox[-1].body
    another.log_in("king@lab.example")
    assert another.is_logged_in
    assert Organization.objects.count() == 1


def test_the_address_of_somebody_else_cannot_be_taken_and_is_not_betrayed(member, another):
    another.join("grace@lab.example", name="Grace Hopper")
    Count.objects.all().delete()
    another.reauthenticate()
    answers = []
    for wanted in ("ada@lab.example", "free@lab.example"):
        Count.objects.all().delete()
        answer = another.client.post("/accounts/email/", {"email": wanted, "action_add": "1"})
        answers.append((answer.status_code, answer.url))
    assert answers[0] == answers[1]
    assert User.objects.get(name="Grace Hopper").email == "grace@lab.example"


def test_changing_the_address_needs_the_password_again(member):
    answer = member.client.post("/accounts/email/", {"email": "king@lab.example", "action_add": "1"})
    assert answer.url.startswith("/accounts/reauthenticate/")


def test_a_changed_password_ends_other_sessions(member, another):
    another.log_in()
    new = "half maps are never mixed"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert member.client.post("/accounts/password/change/", form | {"oldpassword": "x"}).status_code == 200
    member.client.post("/accounts/password/change/", form)
    assert member.is_logged_in and not another.is_logged_in


@pytest.mark.parametrize(("ticked", "status"), [({}, 200), ({"end_tokens": "on"}, 401)])
def test_who_changes_the_password_says_whether_tokens_end_too(member, ticked, status):
    secret = make_token(member)
    new = "half maps are never mixed"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    page = member.client.get("/accounts/password/change/").content.decode()
    assert "Also revoke my API tokens" in page
    member.client.post("/accounts/password/change/", form | ticked)
    assert me(secret) == status
    assert member.is_logged_in


def ask_for_token(member, **given):
    form = {
        "name": "laptop",
        "organization": Organization.objects.get(name="Engine Lab").id,
        "scope": "read",
        "days": "30",
    } | given
    return member.client.post("/settings/tokens/", form)


def make_token(member, **given) -> str:
    member.reauthenticate()
    page = ask_for_token(member, **given).content.decode()
    return re.search(r"cryo_[\w-]{43}", page)[0]


def me(secret: str):
    return Client().get("/api/v1/me", headers={"authorization": f"Bearer {secret}"}).status_code


def test_a_token_is_shown_once_and_only_its_hash_is_kept(member):
    secret = make_token(member)
    assert secret not in member.client.get("/settings/tokens/").content.decode()
    token = ApiToken.objects.get()
    assert token.secret_hash == hash_of(secret)
    assert secret not in json.dumps(list(ApiToken.objects.values()), default=str)
    assert token.scope == "read" and timedelta(days=29) < token.expires_at - now() <= timedelta(days=30)
    assert AuditEvent.objects.filter(verb="token.made", object_id=token.id).exists()
    assert secret not in json.dumps(list(AuditEvent.objects.values()), default=str)


def test_making_a_token_needs_the_password_again_and_then_goes_on(member):
    answer = ask_for_token(member)
    assert answer.url.startswith("/accounts/reauthenticate/")
    assert not ApiToken.objects.exists()
    answer = member.reauthenticate(following="/settings/tokens/")
    assert "cryo_" in answer.content.decode(), "what was asked for is done after the password"
    assert ApiToken.objects.get().name == "laptop"


def test_a_token_works_until_it_is_revoked(member):
    secret = make_token(member)
    assert me(secret) == 200
    page = member.client.get("/settings/tokens/").content.decode()
    assert "now" in page and "never" not in page.split("<tbody>")[1].split("</tbody>")[0]
    member.client.post(f"/settings/tokens/{ApiToken.objects.get().id}/revoke/")
    assert me(secret) == 401
    assert AuditEvent.objects.filter(verb="token.revoked").exists()


def test_a_token_ends_on_its_day(member, monkeypatch):
    secret = make_token(member, days="7")
    later = now() + timedelta(days=7, seconds=1)
    monkeypatch.setattr("cryocloud.web.accounts.credentials.now", lambda: later)
    assert me(secret) == 401


def test_nobody_revokes_or_sees_the_tokens_of_others(member, stranger):
    make_token(member)
    token = ApiToken.objects.get(user__email="ada@lab.example")
    assert token.id not in stranger.client.get("/settings/tokens/").content.decode()
    assert token.id in member.client.get("/settings/tokens/").content.decode()
    assert stranger.client.post(f"/settings/tokens/{token.id}/revoke/").status_code == 404
    token.refresh_from_db()
    assert token.revoked_at is None


@pytest.mark.parametrize(
    "given",
    [
        {"days": "31"},
        {"days": "x"},
        {"scope": "all"},
        {"name": ""},
        {"name": "n" * 81},
        {"organization": "x"},
    ],
)
def test_what_a_token_cannot_be_is_refused(member, given):
    member.reauthenticate()
    assert ask_for_token(member, **given).status_code == 422
    assert not ApiToken.objects.exists()


def test_no_token_for_an_organization_of_others(member, stranger):
    member.reauthenticate()
    answer = ask_for_token(member, organization=stranger.organization.id)
    assert answer.status_code == 422
    assert not ApiToken.objects.filter(user__email="ada@lab.example").exists()


def test_tokens_are_limited_by_rate(member):
    member.reauthenticate()
    own = Membership.unscoped.get().organization_id
    statuses = [ask_for_token(member, organization=own).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]


def test_many_wrong_tokens_from_one_place_are_slowed_and_right_ones_pass(member):
    secret = make_token(member)
    statuses = {me(f"cryo_{n:043}") for n in range(70)}
    assert statuses == {401, 429}
    assert me(secret) == 200


def test_a_code_of_the_sign_up_is_not_one_for_the_password(visitor):
    visitor.sign_up()
    visitor.client.post("/accounts/password/reset/confirm/", {"code": mailed_code("ada@lab.example")})
    assert not visitor.is_logged_in
