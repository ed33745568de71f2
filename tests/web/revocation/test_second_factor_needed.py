"""Who must have a second factor: operators for everything, owners for what would harm an organization."""

from __future__ import annotations

import re
import time

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.db import connection
from django.test import Client

from cryocloud.web.accounts.models import User
from cryocloud.web.operations.first_admin import offer_first_link
from cryocloud.web.organizations.models import Membership, Role
from platform_addresses import pages
from platform_server import serving
from platform_world import make_world

GIVEN = {
    "name": "Ada", "email": "ada@lab.example", "password": "the Thon rings are round", "organization": "Lab of Ada",
}  # fmt: skip


def app_code(secret):
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 - 1))


@pytest.fixture
def operator(owner):
    """An operator who has none yet."""
    User.objects.filter(pk=owner.user.pk).update(is_operator=True)
    Authenticator.objects.filter(user=owner.user).delete()
    return owner


def test_an_operator_without_one_reaches_nothing_but_setting_it_up(operator, home):
    world = make_world(operator)
    for page in pages():
        path = page.path(world.ids)
        if path.startswith(("/accounts/", "/privacy/", "/cookies/", "/health/", "/api/")):
            continue
        answer = operator.client.get(path)
        assert answer.status_code == 302 and answer.url == "/accounts/2fa/totp/activate/", path
    for answer in (operator.api("GET", "/me"), operator.client.get("/api/v1/me")):
        assert answer.status_code == 403 and "second factor" in answer.json()["error"]


@pytest.mark.django_db(transaction=True)
def test_streams_and_uploads_are_closed_to_such_an_operator_too(make_member, home):
    operator = make_member()
    User.objects.filter(pk=operator.user.pk).update(is_operator=True)
    Authenticator.objects.filter(user=operator.user).delete()
    token = {"Authorization": f"Bearer {operator.secret}"}
    session = {"Cookie": f"session={operator.client.cookies['session'].value}"}
    with serving(home, str(connection.settings_dict["NAME"])) as served:
        for headers in (token, session):
            for method, path in (("GET", "/events/projects/x"), ("POST", "/uploads/")):
                own = headers | {"Tus-Resumable": "1.0.0", "Origin": served.address, "Upload-Length": "1"}
                answer = httpx.request(method, served.address + path, headers=own, timeout=30)
                assert answer.status_code == 403 and "second factor" in answer.json()["error"]


def test_the_first_operator_is_led_through_it_without_typing_the_password_again(db):
    browser = Client()
    answer = browser.post(offer_first_link(), GIVEN, follow=True)
    page = answer.content.decode()
    secret = re.search(r'id="authenticator_secret"[^>]*value="([A-Z2-7]+)"', page)[1]
    assert browser.get("/dashboard/").status_code == 302
    answer = browser.post("/accounts/2fa/totp/activate/", {"code": app_code(secret)})
    assert answer.status_code == 302
    assert browser.get(answer.url).status_code == 200
    assert browser.get("/dashboard/").status_code == 200


def test_an_operator_who_turns_it_off_is_outside_again(operator):
    Authenticator.objects.create(user=operator.user, type="totp", data={})
    assert operator.client.get("/dashboard/").status_code == 200
    assert operator.api("GET", "/me").status_code == 200
    Authenticator.objects.filter(user=operator.user).delete()
    assert operator.client.get("/dashboard/").status_code == 302
    assert operator.api("GET", "/me").status_code == 403


def test_recovery_codes_alone_are_none(operator):
    Authenticator.objects.create(user=operator.user, type="recovery_codes", data={})
    assert operator.client.get("/dashboard/").status_code == 302


def test_owners_are_reminded_until_they_have_one(owner, make_member):
    editor = make_member(owner.organization, Role.EDITOR, name="edda")
    Authenticator.objects.all().delete()
    assert "second factor" in owner.client.get("/dashboard/").content.decode()
    assert "second factor" not in editor.client.get("/dashboard/").content.decode()
    Authenticator.objects.create(user=owner.user, type="totp", data={})
    assert "You own an organization" not in owner.client.get("/dashboard/").content.decode()


def test_members_and_roles_need_one_and_a_first_run_does_not(owner, make_member, home):
    vera = make_member(owner.organization, Role.VIEWER, name="vera")
    Authenticator.objects.all().delete()
    membership = Membership.unscoped.get(user=vera.user)
    for path, form in (("role", {"role": 20}), ("remove", {})):
        answer = owner.client.post(f"/organization/members/{membership.pk}/{path}/", form)
        assert answer.status_code == 403 and "/accounts/2fa/" in answer.content.decode()
    for body in ({"role": "editor"}, None):
        answer = owner.api("PATCH" if body else "DELETE", f"/members/{membership.pk}", body)
        assert answer.status_code == 403 and "second factor" in answer.json()["error"]
    assert owner.client.post("/organization/", {"email": "x@lab.example", "role": 30}).status_code == 403
    assert owner.client.post("/organization/", {"email": "x@lab.example", "role": 20}).status_code == 302
    order = {"name": "New", "organization_id": owner.organization.id}
    assert owner.api("POST", "/datasets", order).status_code == 201
    project = owner.api("POST", "/projects", order).json()["id"]
    body = {
        "job_type": "simulate_map",
        "inputs": {"model": "procedural"},
        "parameters": {"pixel_size_angstrom": 2.5},
    }
    assert owner.api("POST", f"/projects/{project}/jobs", body).status_code == 201
    leaving = Membership.unscoped.get(user=vera.user)
    assert vera.client.post(f"/organization/members/{leaving.pk}/remove/").status_code == 302
