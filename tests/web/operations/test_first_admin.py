"""The link with which the first operator account is made: once, and for nobody who guesses."""

from __future__ import annotations

import pytest
from django.test import Client

from cryocloud.web.accounts.models import User
from cryocloud.web.operations.first_admin import offer_first_link
from cryocloud.web.organizations.models import Membership, Role

pytestmark = pytest.mark.django_db
GIVEN = {
    "name": "Ada",
    "email": "ada@lab.example",
    "password": "the Thon rings are round",
    "organization": "Lab of Ada",
}


def test_the_link_makes_an_operator_who_owns_an_organization_and_is_logged_in(client):
    link = offer_first_link()
    assert client.get(link).status_code == 200
    answer = client.post(link, GIVEN)
    assert answer.status_code == 302
    user = User.objects.get()
    assert user.is_operator
    assert Membership.unscoped.get(user=user).role == Role.OWNER
    assert client.session["_auth_user_id"] == user.id


def test_the_link_works_once(client):
    link = offer_first_link()
    client.post(link, GIVEN)
    other = GIVEN | {"email": "eve@lab.example"}
    assert Client().get(link).status_code == 404
    assert Client().post(link, other).status_code == 404
    assert offer_first_link() == ""
    assert User.objects.count() == 1


def test_a_new_start_replaces_the_link(client):
    old, new = offer_first_link(), offer_first_link()
    assert client.get(old).status_code == 404
    assert client.get(new).status_code == 200


def test_only_the_hash_of_the_link_is_kept(home):
    link = offer_first_link()
    secret = link.strip("/").split("/")[1]
    kept = home / "first-admin-link"
    assert secret not in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_a_guess_is_not_found(client):
    offer_first_link()
    assert client.post("/first-admin/guess/", GIVEN).status_code == 404
    assert not User.objects.exists()


def test_without_a_link_there_is_nothing(client):
    assert client.get("/first-admin/any/").status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("email", "no address", "not an e-mail address"),
        ("password", "short", "too short"),
        ("name", "  ", "Fill this in"),
        ("organization", "x" * 121, "At most 120"),
    ],
)
def test_bad_values_are_told_beside_the_field_and_leave_the_link_open(client, field, value, words):
    link = offer_first_link()
    answer = client.post(link, GIVEN | {field: value})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not User.objects.exists()
    assert client.post(link, GIVEN).status_code == 302


def test_the_password_is_not_sent_back(client):
    answer = client.post(offer_first_link(), GIVEN | {"email": "no address"})
    assert GIVEN["password"] not in answer.content.decode()
