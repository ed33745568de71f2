"""Log-in: wrong passwords, lock-out, reset by code, sessions."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.db.models import F
from django.test import Client

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core.models import Count
from cryocloud.web.organizations.models import Organization
from web.visitors import PASSWORD, Visitor, mailed_code

NEW_PASSWORD = "half maps are never mixed"


def stripped(answer):
    return re.sub(r'csrfmiddlewaretoken" value="\w+|X-CSRFToken": "\w+|[a-z]+@', "", answer.content.decode())


def test_the_right_password_leads_to_the_page_that_was_asked_for(member, another):
    answer = another.client.get("/settings/tokens/")
    assert answer.status_code == 302 and answer.url.startswith("/accounts/login/")
    answer = another.log_in(next="/settings/tokens/")
    assert answer.url == "/settings/tokens/"
    assert another.is_logged_in


def test_log_in_never_leads_to_another_site(member, another):
    answer = another.log_in(next="https://evil.example/")
    assert answer.url == "/dashboard/"


def test_an_unknown_address_gets_the_answer_of_a_wrong_password(member, another):
    known = another.log_in(password="wrong wrong wrong")
    unknown = Visitor(Client()).log_in("nobody@lab.example", password="wrong wrong wrong")
    assert known.status_code == unknown.status_code == 200
    assert stripped(known) == stripped(unknown)
    assert "not correct" in known.content.decode()


@pytest.mark.parametrize(
    "given", [{"login": ""}, {"password": ""}, {"login": "a" * 5000}, {"login": "a\x00b@c.de"}]
)
def test_nonsense_is_answered_on_the_page(member, another, given):
    answer = another.client.post(
        "/accounts/login/", {"login": "ada@lab.example", "password": PASSWORD} | given
    )
    assert answer.status_code == 200
    assert not another.is_logged_in


def test_five_wrong_passwords_close_the_address_for_that_place_and_the_right_one_then_fails(member, another):
    statuses = [another.log_in(password=f"wrong {n}").status_code for n in range(7)]
    assert statuses == [200] * 5 + [429, 429]
    answer = another.log_in()
    assert answer.status_code == 429 and "15 minutes" in answer.content.decode()
    assert not another.is_logged_in
    locked = AuditEvent.objects.filter(verb="person.locked_out")
    assert [(one.object_id, one.via) for one in locked] == [(User.objects.get().pk, "platform")]


def test_the_lock_holds_for_one_address_and_one_place_and_ends(member, another, monkeypatch):
    for n in range(5):
        another.log_in(password=f"wrong {n}")
    Visitor(Client()).sign_up("grace@lab.example")
    elsewhere = Visitor(Client(REMOTE_ADDR="198.51.100.7"))
    elsewhere.log_in()
    assert elsewhere.is_logged_in
    Count.objects.update(ends_at=F("ends_at") - timedelta(minutes=16))
    another.log_in()
    assert another.is_logged_in


def test_another_spelling_opens_no_second_door(member, another):
    for n, spelling in enumerate(
        ["ADA@lab.example", "Ada@Lab.example", " ada@lab.example ", "ada@LAB.example", "aDa@lab.example"]
    ):
        another.log_in(spelling, password=f"wrong {n}")
    assert another.log_in(password="wrong").status_code == 429


def test_guesses_from_many_places_are_slowed_too(member):
    for n in range(50):
        assert Visitor(Client(REMOTE_ADDR=f"198.51.100.{n}")).log_in(password="wrong").status_code == 200
    last = Visitor(Client(REMOTE_ADDR="198.51.100.99"))
    assert last.log_in().status_code == 429
    assert not last.is_logged_in


def test_a_deactivated_person_cannot_log_in_and_open_sessions_end(member, another):
    User.objects.update(is_active=False)
    another.log_in()
    assert not another.is_logged_in and not member.is_logged_in


def start_reset(visitor, email="ada@lab.example"):
    return visitor.client.post("/accounts/password/reset/", {"email": email})


def enter_code(visitor, code):
    return visitor.client.post("/accounts/password/reset/confirm/", {"code": code})


def test_a_password_is_reset_by_a_mailed_code_and_other_sessions_end(member, another):
    start_reset(another)
    enter_code(another, mailed_code("ada@lab.example"))
    form = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert another.client.post("/accounts/password/reset/complete/", form).status_code == 302
    assert not member.is_logged_in
    old, new = Visitor(Client()), Visitor(Client())
    old.log_in()
    new.log_in(password=NEW_PASSWORD)
    assert (old.is_logged_in, new.is_logged_in) == (False, True)
    assert AuditEvent.objects.filter(verb="person.password_changed").exists()
    assert "Was this not you?" in mail.outbox[-1].body


def test_a_reset_code_is_worth_three_tries_and_one_use(member, another):
    start_reset(another)
    right = mailed_code("ada@lab.example")
    for _ in range(3):
        enter_code(another, "BCDF-GHJK")
    enter_code(another, right)
    form = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    another.client.post("/accounts/password/reset/complete/", form)
    assert User.objects.get().check_password(PASSWORD)


def test_a_reset_code_is_of_no_use_in_another_browser(member, another):
    start_reset(another)
    elsewhere = Visitor(Client())
    enter_code(elsewhere, mailed_code("ada@lab.example"))
    form = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    elsewhere.client.post("/accounts/password/reset/complete/", form)
    assert User.objects.get().check_password(PASSWORD)


def test_a_reset_for_an_unknown_address_looks_the_same(member, another):
    known = start_reset(another)
    unknown_browser = Visitor(Client())
    unknown = start_reset(unknown_browser, "nobody@lab.example")
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    pages = [one.client.get(known.url) for one in (another, unknown_browser)]
    assert stripped(pages[0]) == stripped(pages[1])
    assert "no account with this address" in mail.outbox[-1].body
    assert "nobody" not in "".join(User.objects.values_list("email", flat=True))


def test_resets_for_one_address_are_limited(member):
    statuses = [start_reset(Visitor(Client())).status_code for _ in range(6)]
    assert statuses == [302] * 5 + [429]


def test_a_reset_that_confirms_an_address_opens_its_organization(visitor, another):
    """Somebody who never entered the code of the sign-up proves the address by the reset."""
    visitor.sign_up()
    start_reset(another)
    enter_code(another, mailed_code("ada@lab.example"))
    form = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    another.client.post("/accounts/password/reset/complete/", form)
    another.log_in(password=NEW_PASSWORD)
    assert another.is_logged_in
    assert Organization.objects.get().name == "Engine Lab"


def test_sessions_are_listed_and_the_others_can_be_ended(member, another):
    another.client.defaults["HTTP_USER_AGENT"] = "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"
    another.log_in()
    another.client.get("/settings/")
    member.client.get("/settings/")
    page = member.client.get("/accounts/sessions/").content.decode()
    assert "Firefox on Windows" in page and page.count("this one") == 1
    member.client.post("/accounts/sessions/")
    assert member.is_logged_in and not another.is_logged_in


def test_logging_out_needs_a_post(member):
    member.client.get("/accounts/logout/")
    assert member.is_logged_in
    member.client.post("/accounts/logout/")
    assert not member.is_logged_in


def test_forms_are_safe_from_other_sites(member):
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = member.client.cookies
    answer = forged.post("/settings/", {"name": "Eve"})
    assert answer.status_code == 403 and "grown old" in answer.content.decode()
    assert User.objects.get().name == "Ada Lovelace"
