"""Invitations as the people on both sides live them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.configuration import configuration
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.core.tasks import run_next
from cryocloud.web.organizations.models import Invitation, Membership, Organization, Role
from web.visitors import Visitor, mailed_code

GRACE = "grace@lab.example"


@pytest.mark.requirement("ONB-01")
@pytest.mark.requirement("ONB-02")
def test_an_invited_person_signs_up_with_the_invited_address_and_is_in(owner, visitor, invite, role_of):
    link = invite(owner)
    assert "ada" in mail.outbox[-1].subject and owner.user.email in mail.outbox[-1].body
    page = visitor.client.get(link).content.decode()
    assert owner.organization.name in page and "ada" in page and "editor" in page
    answer = visitor.client.post(link, {"with": "sign_up"})
    form = visitor.client.get(answer.url).content.decode()
    assert 'name="organization"' not in form and GRACE in form
    visitor.client.post(
        answer.url, {"name": "Grace Hopper", "password1": "the Thon rings are round", "next": link}
    )
    assert not Membership.unscoped.filter(user__email=GRACE).exists(), "the address is not proven yet"
    answer = visitor.client.post("/accounts/confirm-email/", {"code": mailed_code(GRACE)})
    assert answer.url == link
    answer = visitor.client.get(link)
    assert answer.status_code == 302 and answer.url == "/dashboard/"
    assert role_of(owner.organization, GRACE) == Role.EDITOR
    assert Organization.objects.count() == 1, "no organization of her own was made"
    assert {"invitation.made", "invitation.accepted"} <= set(
        AuditEvent.objects.filter(organization_id=owner.organization.id).values_list("verb", flat=True)
    )


def test_the_invited_address_cannot_be_exchanged_at_sign_up(owner, visitor, invite):
    link = invite(owner)
    answer = visitor.client.post(link, {"with": "sign_up"})
    form = {"name": "Eve", "email": "eve@evil.example", "password1": "the Thon rings are round"}
    visitor.client.post(answer.url, form)
    assert not User.objects.filter(email="eve@evil.example").exists()
    assert User.objects.filter(email=GRACE).exists()


def test_a_person_with_an_account_logs_in_and_joins_without_leaving_the_other(
    owner, stranger, visitor, invite, role_of
):
    link = invite(owner, stranger.user.email, Role.ADMIN)
    answer = visitor.client.post(link, {"with": "log_in"})
    assert answer.url.startswith("/accounts/login/?next=")
    page = stranger.client.get(link)
    assert page.status_code == 200 and "Accept" in page.content.decode()
    assert role_of(owner.organization, stranger.user.email) is None, "looking is not accepting"
    assert stranger.client.post(link).status_code == 302
    assert role_of(owner.organization, stranger.user.email) == Role.ADMIN
    assert role_of(stranger.organization, stranger.user.email) == Role.OWNER
    stranger.user.refresh_from_db()
    assert stranger.user.current_organization_id == owner.organization.id


@pytest.mark.requirement("ONB-02")
def test_a_used_link_is_like_no_link(owner, stranger, invite):
    link = invite(owner, stranger.user.email)
    stranger.client.post(link)
    for browser in (stranger.client, Client()):
        assert browser.get(link).status_code == browser.post(link).status_code == 404


@pytest.mark.requirement("ONB-02")
def test_somebody_elses_link_is_like_no_link(owner, stranger, invite, role_of):
    link = invite(owner)
    missing = stranger.client.get("/invitations/" + "x" * 43 + "/")
    for answer in (stranger.client.get(link), stranger.client.post(link)):
        assert answer.status_code == 404 == missing.status_code
    assert role_of(owner.organization, stranger.user.email) is None
    assert Client().get(link).status_code == 200, "it is still there for the right person"


@pytest.mark.requirement("ONB-02")
def test_a_link_ends_after_seven_days(owner, stranger, invite, monkeypatch):
    link = invite(owner, stranger.user.email)
    made = Invitation.unscoped.get().created_at
    for seconds, status in ((-5, 200), (5, 404)):
        moment = made + timedelta(days=7, seconds=seconds)
        monkeypatch.setattr("cryocloud.web.organizations.invitations.now", lambda moment=moment: moment)
        assert stranger.client.get(link).status_code == status
    assert stranger.client.post(link).status_code == 404


def test_a_withdrawn_link_is_like_no_link(owner, stranger, invite):
    link = invite(owner, stranger.user.email)
    owner.client.post(f"/organization/invitations/{Invitation.unscoped.get().id}/revoke/")
    assert stranger.client.post(link).status_code == 404
    assert AuditEvent.objects.filter(verb="invitation.revoked").exists()


def test_a_second_invitation_ends_the_first(owner, stranger, invite):
    first, second = (invite(owner, stranger.user.email) for _ in range(2))
    assert first != second
    assert stranger.client.get(first).status_code == 404
    assert stranger.client.get(second).status_code == 200


@pytest.mark.requirement("ONB-02")
@pytest.mark.django_db(transaction=True)
def test_of_two_that_accept_at_once_one_membership_is_made(owner, stranger, invite):
    link = invite(owner, stranger.user.email)

    def accept(_):
        browser = Client()
        browser.cookies = stranger.client.cookies
        try:
            return browser.post(link).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(accept, range(4)))
    assert statuses == [302, 404, 404, 404]
    assert Membership.unscoped.filter(organization=owner.organization, user=stranger.user).count() == 1


def test_the_secret_stands_in_the_mail_alone(owner, invite):
    secret = invite(owner).split("/")[2]
    kept = json.dumps(
        [list(model.values()) for model in (Invitation.unscoped, BackgroundTask.objects, AuditEvent.objects)],
        default=str,
    )
    assert secret not in kept


def test_a_mail_server_that_is_down_delays_the_invitation_only(owner, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    assert owner.client.post("/organization/", {"email": GRACE, "role": 10}).status_code == 302
    run_next("worker")
    assert not mail.outbox
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    BackgroundTask.objects.update(run_after=Invitation.unscoped.get().created_at)
    run_next("worker")
    assert mail.outbox[-1].to == [GRACE]


@pytest.mark.parametrize(
    ("role", "invited", "status"),
    [
        (Role.OWNER, Role.OWNER, 302),
        (Role.ADMIN, Role.ADMIN, 302),
        (Role.ADMIN, Role.OWNER, 422),
        (Role.EDITOR, Role.VIEWER, 403),
        (Role.VIEWER, Role.VIEWER, 403),
    ],
)
def test_owners_and_admins_invite_and_only_owners_invite_owners(owner, make_member, role, invited, status):
    member = owner if role == Role.OWNER else make_member(owner.organization, role, name="max")
    answer = member.client.post("/organization/", {"email": GRACE, "role": int(invited)})
    assert answer.status_code == status
    assert Invitation.unscoped.exists() == (status == 302)


@pytest.mark.parametrize(
    "email", ["", "grace", "a@b@c", "grace@lab.example\nBcc: x@y.z", "g" * 300 + "@lab.example"]
)
def test_what_is_no_address_is_not_invited(owner, email):
    assert owner.client.post("/organization/", {"email": email, "role": 10}).status_code == 422
    assert not Invitation.unscoped.exists()


def test_a_member_is_not_invited_again(owner, make_member):
    make_member(owner.organization, Role.VIEWER, name="vera")
    answer = owner.client.post("/organization/", {"email": "VERA@lab.example", "role": 40})
    assert answer.status_code == 422 and "already" in answer.content.decode()


def test_invitations_are_limited_by_rate(owner):
    for n in range(100):
        owner.client.post("/organization/", {"email": f"a{n}@lab.example", "role": 10})
    answer = owner.client.post("/organization/", {"email": GRACE, "role": 10})
    assert answer.status_code == 429
    assert Invitation.unscoped.count() == 100


def test_where_sign_up_is_closed_invited_people_still_sign_up(owner, visitor, invite, monkeypatch, role_of):
    closed = configuration().model_copy(update={"sign_up_open": False})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: closed)
    link = invite(owner)
    assert "by invitation" in Client().get("/accounts/signup/").content.decode()
    answer = visitor.client.post(link, {"with": "sign_up"})
    visitor.client.post(answer.url, {"name": "Grace", "password1": "the Thon rings are round", "next": link})
    visitor.client.post("/accounts/confirm-email/", {"code": mailed_code(GRACE)})
    visitor.client.get(link)
    assert role_of(owner.organization, GRACE) == Role.EDITOR
    assert visitor.client.post("/organization/new/", {"name": "Own Lab"}).status_code == 403
    assert Organization.objects.count() == 1


def test_people_without_an_organization_are_told_what_to_do(owner, invite, make_member):
    lonely = Visitor(Client())
    lonely.join("lone@lab.example")
    Membership.unscoped.filter(user__email="lone@lab.example").delete()
    answer = lonely.client.get("/organization/")
    assert answer.status_code == 404 and "/organization/new/" in answer.content.decode()
    assert lonely.client.get("/settings/").status_code == 200
    lonely.client.post("/organization/new/", {"name": "Second Lab"})
    assert "Second Lab" in lonely.client.get("/organization/").content.decode()
