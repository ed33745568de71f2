"""Authenticator app, recovery codes and passkeys."""

from __future__ import annotations

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core.models import Count
from web.visitors import PASSWORD, mailed_code


def app_code(secret: str, steps: int = 0) -> str:
    """What an authenticator app with this secret shows, now or some steps of 30 s away."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def set_up_app(member) -> str:
    member.reauthenticate()
    page = member.client.get("/accounts/2fa/totp/activate/").content.decode()
    secret = re.search(r'id="authenticator_secret"[^>]*value="([A-Z2-7]+)"', page)[1]
    answer = member.client.post("/accounts/2fa/totp/activate/", {"code": app_code(secret, -1)})
    assert answer.status_code == 302, answer.content.decode()
    return secret


def recovery_codes(member) -> list[str]:
    return member.client.get("/accounts/2fa/recovery-codes/download/").content.decode().split()


def enter(visitor, code):
    return visitor.client.post("/accounts/2fa/authenticate/", {"code": code})


def test_changing_the_second_factor_needs_the_password_again(member):
    answer = member.client.get("/accounts/2fa/totp/activate/")
    assert answer.status_code == 302 and answer.url.startswith("/accounts/reauthenticate/")
    answer = member.reauthenticate("wrong", following="/accounts/2fa/totp/activate/")
    assert answer.status_code == 200 and "ncorrect" in answer.content.decode()
    assert member.client.get("/accounts/2fa/totp/activate/").status_code == 302


@pytest.mark.django_db(transaction=True)  # the mail follows the commit
def test_with_an_app_the_password_alone_does_not_log_in(member, another):
    secret = set_up_app(member)
    answer = another.log_in()
    assert answer.url.startswith("/accounts/2fa/authenticate/")
    assert not another.is_logged_in
    enter(another, "000000" if app_code(secret) != "000000" else "111111")
    assert not another.is_logged_in
    assert enter(another, app_code(secret)).url == "/dashboard/"
    assert another.is_logged_in
    assert "uthenticator app" in " ".join(one.subject for one in mail.outbox).lower()
    assert AuditEvent.objects.filter(verb="second_factor.added", detail__factor="totp").exists()


def test_an_app_code_works_once(member, another, visitor):
    secret = set_up_app(member)
    code = app_code(secret)
    another.log_in()
    enter(another, code)
    assert another.is_logged_in
    visitor.log_in()
    enter(visitor, code)
    assert not visitor.is_logged_in


def test_a_clock_that_is_half_a_minute_off_is_forgiven_and_more_is_not(member, another):
    secret = set_up_app(member)
    another.log_in()
    enter(another, app_code(secret, 4))
    assert not another.is_logged_in
    enter(another, app_code(secret, 1))
    assert another.is_logged_in


def test_guessing_codes_ends(member, another):
    secret = set_up_app(member)
    Count.objects.all().delete()
    another.log_in()
    for n in range(10):
        enter(another, f"{n:06}")
    answer = enter(another, app_code(secret))
    assert not another.is_logged_in
    assert "Too many" in answer.content.decode()


def test_each_recovery_code_logs_in_once(member, another, visitor):
    set_up_app(member)
    member.client.post("/accounts/2fa/recovery-codes/generate/")
    codes = recovery_codes(member)
    assert len(codes) == 10 and all(len(code) == 10 for code in codes)
    another.log_in()
    enter(another, codes[0])
    assert another.is_logged_in
    visitor.log_in()
    enter(visitor, codes[0])
    assert not visitor.is_logged_in
    enter(visitor, codes[1])
    assert visitor.is_logged_in


def test_new_recovery_codes_end_the_old_ones(member, another):
    set_up_app(member)
    member.client.post("/accounts/2fa/recovery-codes/generate/")
    old = recovery_codes(member)
    member.client.post("/accounts/2fa/recovery-codes/generate/")
    another.log_in()
    enter(another, old[0])
    assert not another.is_logged_in


def test_a_reset_password_still_needs_the_second_factor(member, another):
    set_up_app(member)
    another.client.post("/accounts/password/reset/", {"email": "ada@lab.example"})
    another.client.post("/accounts/password/reset/confirm/", {"code": mailed_code("ada@lab.example")})
    form = {"password1": "half maps are never mixed", "password2": "half maps are never mixed"}
    another.client.post("/accounts/password/reset/complete/", form)
    another.log_in(password="half maps are never mixed")
    assert not another.is_logged_in


def test_secrets_of_apps_are_stored_encrypted(member):
    secret = set_up_app(member)
    stored = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in stored


def test_turning_the_app_off_is_recorded_and_mailed(member, another):
    set_up_app(member)
    mail.outbox.clear()
    member.client.post("/accounts/2fa/totp/deactivate/")
    another.log_in()
    assert another.is_logged_in
    assert mail.outbox[0].to == ["ada@lab.example"]
    assert AuditEvent.objects.filter(verb="second_factor.removed").exists()


@pytest.mark.parametrize(
    "posted", ["", "{}", "not json", '{"id": "x", "response": {}}', "[" * 2000, "x" * 30_000]
)
def test_a_forged_passkey_logs_nobody_in(member, another, posted):
    asked = another.client.get("/accounts/2fa/webauthn/login/", headers={"accept": "application/json"})
    assert "challenge" in asked.json()["request_options"]["publicKey"]
    answer = another.client.post("/accounts/2fa/webauthn/login/", {"credential": posted})
    assert answer.status_code == 302 and answer.url == "/accounts/login/"
    assert not another.is_logged_in
    assert User.objects.get().check_password(PASSWORD)
