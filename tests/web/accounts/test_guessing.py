"""Guesses at passwords, codes, mails, tokens and links: strangers are slowed, owners are not shut out by them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.core import mail
from django.test import Client

from cryocloud.web.accounts.models import User
from cryocloud.web.core.clock import now
from cryocloud.web.core.housekeeping import forget_counts
from cryocloud.web.core.models import Count
from web.accounts.test_second_factor import app_code, enter, recovery_codes, set_up_app
from web.visitors import PASSWORD, Visitor, mailed_code

NETWORK = "2001:db8:1:2"


def at(address):
    return Visitor(Client(REMOTE_ADDR=address))


def guess_from_everywhere(email="ada@lab.example", places=50):
    """Strangers spend all that an account allows them."""
    for n in range(places):
        at(f"203.0.113.{n}").log_in(email, password="wrong")
    assert at("203.0.113.250").log_in(email).status_code == 429


def leave(member):
    """Log out in a browser that stays known."""
    member.client.post("/accounts/logout/")
    assert not member.is_logged_in


def test_ten_guesses_of_a_stranger_do_not_lock_the_owner_out_anywhere(member):
    for n in range(10):
        at("203.0.113.7").log_in(password=f"wrong {n}")
    elsewhere = at("198.51.100.1")
    elsewhere.log_in()
    assert elsewhere.is_logged_in


def test_a_known_device_stays_open_whatever_strangers_do(member):
    leave(member)
    guess_from_everywhere()
    member.log_in()
    assert member.is_logged_in


def test_a_known_device_stays_open_at_the_place_where_a_stranger_guesses(member):
    leave(member)
    for n in range(8):
        Visitor(Client()).log_in(password=f"wrong {n}")
    assert Visitor(Client()).log_in().status_code == 429
    member.log_in()
    assert member.is_logged_in


def test_a_known_device_may_not_guess_for_ever(member):
    leave(member)
    statuses = [member.log_in(password=f"wrong {n}").status_code for n in range(12)]
    assert statuses == [200] * 10 + [429] * 2


def test_a_device_is_known_to_the_accounts_that_were_logged_in_with_it_only(member):
    eve = at("203.0.113.7")
    eve.join("eve@lab.example")
    eve.client.post("/accounts/logout/")
    statuses = [eve.log_in("ada@lab.example", password=f"wrong {n}").status_code for n in range(7)]
    assert statuses[-1] == 429
    eve.log_in("eve@lab.example")
    assert eve.is_logged_in


@pytest.mark.parametrize("forged", ["", "x", "eyJpZCI6IjEifQ:1x:aaaa"])
def test_a_forged_device_is_a_stranger(member, forged):
    stranger = at("203.0.113.7")
    stranger.client.cookies["device"] = forged
    assert [stranger.log_in(password="wrong").status_code for _ in range(6)][-1] == 429


def test_the_cookie_of_a_device_is_hidden_from_scripts_and_names_nobody(member):
    cookie = member.client.cookies["device"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["max-age"] == 365 * 24 * 3600
    assert "ada" not in cookie.value


def test_a_new_password_makes_strangers_of_other_devices(member, another):
    another.log_in()
    assert another.is_logged_in
    member.reauthenticate()
    member.client.post(
        "/accounts/password/change/",
        {
            "oldpassword": PASSWORD,
            "password1": "half maps are never mixed",
            "password2": "half maps are never mixed",
        },
    )
    assert not User.objects.get().check_password(PASSWORD)
    guess_from_everywhere()
    another.client.post("/accounts/logout/")
    assert another.log_in(password="half maps are never mixed").status_code == 429
    leave(member)
    member.log_in(password="half maps are never mixed")
    assert member.is_logged_in


def test_a_mailed_code_opens_the_browser_that_strangers_have_closed(member):
    guess_from_everywhere()
    fresh = at("198.51.100.9")
    assert fresh.log_in().status_code == 429
    fresh.client.post("/accounts/password/reset/", {"email": "ada@lab.example"})
    fresh.client.post("/accounts/password/reset/confirm/", {"code": mailed_code("ada@lab.example")})
    new = "half maps are never mixed"
    fresh.client.post("/accounts/password/reset/complete/", {"password1": new, "password2": new})
    fresh.log_in(password=new)
    assert fresh.is_logged_in


def test_a_session_may_ask_for_its_password_whatever_strangers_do(member):
    del member.client.cookies["device"]
    guess_from_everywhere()
    assert member.reauthenticate().status_code == 302


def test_ten_thousand_guesses_from_one_ipv6_network_are_few(member):
    """A network has 2^64 addresses; its guesses are counted together, and refused ones cost no write."""
    statuses = [
        at(f"{NETWORK}::{n:x}").log_in(f"nobody{n}@lab.example", password="wrong").status_code
        for n in range(60)
    ]
    assert statuses.count(200) == 30
    rows = Count.objects.count()
    at(f"{NETWORK}:ffff::1").log_in("someone@lab.example", password="wrong")
    assert Count.objects.count() == rows
    assert at("2001:db8:1:3::1").log_in().status_code == 302


def test_an_ipv4_address_is_the_same_place_when_it_is_written_as_ipv6(member):
    for n in range(5):
        at("203.0.113.7" if n % 2 else "::ffff:203.0.113.7").log_in(password="wrong")
    assert at("::ffff:203.0.113.7").log_in().status_code == 429


@pytest.mark.parametrize("strangers", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_other_traffic_flushes_no_count(member, another, strangers):
    for n in range(5):
        another.log_in(password=f"wrong {n}")
    for n in range(strangers):
        at(f"198.51.{n // 250}.{n % 250}").client.get(
            "/api/v1/me", headers={"Authorization": f"Bearer cryo_{n}"}
        )
    assert another.log_in().status_code == 429


def test_counts_that_are_over_are_forgotten(member, another):
    another.log_in(password="wrong")
    assert Count.objects.exists()
    Count.objects.update(ends_at=now() - timedelta(seconds=1))
    forget_counts()
    assert not Count.objects.exists()


def test_the_right_password_is_not_counted(member):
    for _ in range(12):
        somebody = at("203.0.113.7")
        assert somebody.log_in().status_code == 302


def test_guesses_at_the_second_factor_from_one_place_leave_others_open(member):
    secret = set_up_app(member)
    thief = at("203.0.113.7")
    thief.log_in()
    assert [enter(thief, f"{n:06}").status_code for n in range(11)][-1] == 429
    owner = at("198.51.100.1")
    owner.log_in()
    enter(owner, app_code(secret))
    assert owner.is_logged_in


def test_a_crowd_at_the_second_factor_shuts_out_neither_known_devices_nor_recovery_codes(member):
    secret = set_up_app(member)
    member.client.post("/accounts/2fa/recovery-codes/generate/")
    codes = recovery_codes(member)
    leave(member)
    for place in range(11):
        thief = at(f"203.0.113.{place}")
        thief.log_in()
        for n in range(10):
            enter(thief, f"{n:06}")
    late = at("203.0.113.99")
    late.log_in()
    assert enter(late, app_code(secret)).status_code == 429
    member.log_in()
    enter(member, app_code(secret))
    assert member.is_logged_in
    owner = at("198.51.100.1")
    owner.log_in()
    enter(owner, codes[0])
    assert owner.is_logged_in


def test_who_reads_the_mails_gets_no_more_codes_with_each_reset(member):
    """A reset makes a browser known; a thief of the mailbox would take a fresh one for every 20 codes."""
    set_up_app(member)
    statuses = []
    for n in range(6):
        thief = at(f"203.0.113.{n}")
        thief.client.post("/accounts/password/reset/", {"email": "ada@lab.example"})
        thief.client.post("/accounts/password/reset/confirm/", {"code": mailed_code("ada@lab.example")})
        chosen = f"chosen by the thief {n}"
        thief.client.post("/accounts/password/reset/complete/", {"password1": chosen, "password2": chosen})
        thief.log_in(password=chosen)
        statuses += [enter(thief, f"{number:06}").status_code for number in range(20)]
    assert statuses.count(429) >= 20


def test_wrong_passwords_close_no_second_factor(member):
    secret = set_up_app(member)
    owner = at("198.51.100.1")
    owner.log_in()
    guess_from_everywhere()
    enter(owner, app_code(secret))
    assert owner.is_logged_in


def test_a_code_with_spaces_is_still_a_code_of_an_app(member):
    set_up_app(member)
    thief = at("203.0.113.7")
    thief.log_in()
    for n in range(10):
        enter(thief, f" {n:03} {n:03}-")
    assert Count.objects.filter(used=10).count() >= 1
    assert enter(thief, "000000").status_code == 429


def test_an_app_code_works_once_although_it_holds_for_longer(member, another, monkeypatch):
    secret = set_up_app(member)
    code = app_code(secret, 1)
    another.log_in()
    enter(another, code)
    assert another.is_logged_in
    monkeypatch.setattr(TOTP, "_mark_code_used", lambda *_: True)  # 30 s later
    replay = at("198.51.100.1")
    replay.log_in()
    enter(replay, code)
    assert not replay.is_logged_in


def test_mails_for_a_reset_are_limited_for_strangers_and_the_owner_still_gets_one(member):
    for n in range(30):
        at(f"203.0.113.{n}").client.post("/accounts/password/reset/", {"email": "ada@lab.example"})
    mails = len([one for one in mail.outbox if one.to == ["ada@lab.example"]])
    assert mails <= 21
    leave(member)
    assert member.client.post("/accounts/password/reset/", {"email": "ada@lab.example"}).status_code == 302


def test_sign_ups_from_one_place_end(db):
    statuses = [at(f"{NETWORK}::{n:x}").sign_up(f"p{n}@lab.example").status_code for n in range(22)]
    assert statuses == [302] * 20 + [429] * 2


def test_guessed_links_end_in_a_refusal(db):
    visitor = at("203.0.113.7")
    statuses = [visitor.client.get(f"/invitations/guess{n}/").status_code for n in range(62)]
    assert statuses == [404] * 60 + [429] * 2
    assert at("203.0.113.8").client.get("/invitations/guess/").status_code == 404
