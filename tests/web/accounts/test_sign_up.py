"""Sign-up as a visitor lives it: a form, a mailed code, and an organization in its trial."""

from __future__ import annotations

import re

import pytest
from django.core import mail

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.configuration import configuration
from cryocloud.web.core.models import Count
from cryocloud.web.organizations.models import Membership, Organization, Role
from web.visitors import PASSWORD, mailed_code


@pytest.mark.requirement("ONB-01")
@pytest.mark.requirement("TRL-01")
def test_sign_up_with_a_mailed_code_ends_on_the_dashboard_of_an_own_organization(visitor):
    answer = visitor.sign_up()
    assert answer.status_code == 302 and answer.url == "/accounts/confirm-email/"
    assert not visitor.is_logged_in
    assert not Organization.objects.exists(), "the trial begins with the confirmation"
    answer = visitor.confirm()
    assert answer.status_code == 302 and answer.url == "/dashboard/"
    assert visitor.is_logged_in
    member = Membership.unscoped.get()
    assert (member.user.name, member.user.email) == ("Ada Lovelace", "ada@lab.example")
    assert (member.organization.name, member.role) == ("Engine Lab", Role.OWNER)
    assert member.organization.state == Organization.State.TRIAL
    assert {"person.signed_up", "organization.created"} <= set(
        AuditEvent.objects.values_list("verb", flat=True)
    )


@pytest.mark.requirement("PRV-06")
def test_the_form_asks_for_name_mail_organization_and_password_only(visitor):
    page = visitor.client.get("/accounts/signup/").content.decode()
    form = page[page.index('action="/accounts/signup/"') :]
    form = form[: form.index("</form>")]
    names = set(re.findall(r'<input[^>]* name="(\w+)"', form)) - {"csrfmiddlewaretoken"}
    assert names == {"name", "email", "organization", "password1"}


def test_who_works_alone_leaves_the_organization_empty(visitor):
    visitor.join(organization="")
    assert Organization.objects.get().name == "Ada Lovelace"


@pytest.mark.parametrize("name", ["Nagarjuna", "Zoë Brontë-O’Neill", "王小明"])
def test_names_of_one_word_and_of_any_script_are_names(visitor, name):
    visitor.join(name=name)
    assert User.objects.get().name == name


def test_an_address_with_an_international_domain_works(visitor):
    visitor.join("ada@münchen.example")
    assert visitor.is_logged_in


def test_a_changed_spelling_of_the_address_is_the_same_account(visitor, another):
    visitor.join("Ada@Lab.Example")
    assert User.objects.get().email == "ada@lab.example"
    another.log_in("ADA@lab.example")
    assert another.is_logged_in


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": ""}, "required"),
        ({"name": "Win at http://evil.example now"}, "looks like an address"),
        ({"organization": "see www.evil.example"}, "looks like an address"),
        ({"name": "a" * 121}, "120"),
        ({"email": "ada"}, "valid email"),
        ({"password1": "short"}, "10 characters"),
        ({"password1": "password123"}, "too common"),
        ({"password1": "ada@lab.example"}, "similar"),
    ],
)
def test_what_cannot_be_used_is_refused_beside_its_field(visitor, given, says):
    answer = visitor.sign_up(**given)
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert not User.objects.exists() and not mail.outbox


def test_line_breaks_in_a_name_reach_no_mail_header(visitor):
    visitor.join(name="Ada\r\nBcc: everybody")
    assert not User.objects.filter(name__contains="\n").exists()


def test_a_wrong_code_is_refused_and_after_three_the_sign_up_begins_anew(visitor):
    visitor.sign_up()
    right = mailed_code("ada@lab.example")
    for _ in range(2):
        answer = visitor.confirm(code="BCDF-GHJK")
        assert answer.status_code == 200 and "Incorrect code" in answer.content.decode()
    visitor.confirm(code="BCDF-GHJK")
    visitor.confirm(code=right)
    assert not visitor.is_logged_in and not Organization.objects.exists()


def test_a_code_works_in_the_browser_that_asked_and_once(visitor, another):
    visitor.sign_up()
    code = mailed_code("ada@lab.example")
    another.confirm(code=code)
    assert not another.is_logged_in
    visitor.confirm(code=code)
    assert visitor.is_logged_in
    visitor.client.post("/accounts/logout/")
    visitor.confirm(code=code)
    assert not visitor.is_logged_in
    assert Organization.objects.count() == 1


def test_who_closed_the_browser_before_the_code_gets_another_at_log_in(visitor, another):
    visitor.sign_up()
    mail.outbox.clear()
    Count.objects.all().delete()
    answer = another.log_in()
    assert answer.url.startswith("/accounts/confirm-email/")
    another.confirm()
    assert another.is_logged_in
    assert Organization.objects.get().name == "Engine Lab"


def test_a_new_code_replaces_the_old_one(visitor):
    visitor.sign_up()
    old = mailed_code("ada@lab.example")
    Count.objects.all().delete()
    visitor.client.post("/accounts/confirm-email/", {"action": "resend"})
    assert mailed_code("ada@lab.example") != old
    visitor.confirm(code=old)
    assert not visitor.is_logged_in
    visitor.confirm()
    assert visitor.is_logged_in


def test_a_known_address_gets_the_same_answer_as_an_unknown_one(visitor, another, member):
    mail.outbox.clear()
    Count.objects.all().delete()
    unknown = visitor.sign_up("new@lab.example")
    known = another.sign_up("ada@lab.example", name="Eve")
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    pages = [one.client.get("/accounts/confirm-email/").content.decode() for one in (visitor, another)]
    strip = re.compile(r'name="csrfmiddlewaretoken" value="\w+"|"X-CSRFToken": "\w+"|new@|ada@')
    assert strip.sub("", pages[0]) == strip.sub("", pages[1])
    assert [one.to for one in mail.outbox] == [["new@lab.example"], ["ada@lab.example"]]
    assert "has an account already" in mail.outbox[1].body
    assert User.objects.get(email="ada@lab.example").name == "Ada Lovelace"


@pytest.mark.requirement("PRV-01")
def test_mails_name_the_privacy_policy(visitor):
    visitor.sign_up()
    assert f"{configuration().address}/privacy/" in mail.outbox[0].body


def test_sign_up_is_limited_by_rate(visitor):
    statuses = [visitor.sign_up(f"a{n}@lab.example", password1="").status_code for n in range(21)]
    assert statuses == [200] * 20 + [429]


def test_where_sign_up_is_closed_nobody_signs_up(visitor, monkeypatch):
    closed = configuration().model_copy(update={"sign_up_open": False})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: closed)
    answer = visitor.sign_up()
    assert "by invitation" in answer.content.decode()
    assert not User.objects.exists()
    assert (
        "/accounts/signup/" not in visitor.client.get("/accounts/login/").content.decode().split("<main")[1]
    )


def test_a_mail_server_that_is_down_gives_a_clear_answer_and_loses_nothing(visitor, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    answer = visitor.sign_up()
    assert answer.status_code == 503
    assert "try again" in answer.content.decode()
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    Count.objects.all().delete()
    visitor.log_in()
    visitor.confirm()
    assert visitor.is_logged_in


def test_the_password_is_stored_as_a_hash_only(visitor):
    visitor.join()
    assert PASSWORD not in User.objects.get().password
