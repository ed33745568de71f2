"""What a person made ends with their role: tokens, invitations; and what their tokens may do."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client

from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core.tasks import run_next
from cryocloud.web.organizations.models import Invitation, Membership, Organization, Role
from platform_addresses import operations
from platform_world import make_world
from web.visitors import PASSWORD

GRACE = "grace@lab.example"
GOVERNING = {
    "rename_organization", "change_member_role", "remove_member", "list_invitations", "invite_member",
    "revoke_invitation",
}  # fmt: skip


def invite(member, role=Role.EDITOR, email=GRACE):
    answer = member.client.post("/organization/", {"email": email, "role": int(role)})
    assert answer.status_code == 302, answer.content.decode()
    while run_next("worker"):
        pass
    return re.search(r"(/invitations/[\w-]{43}/)", mail.outbox[-1].body)[1]


def path_of(member, verb):
    found = Membership.unscoped.get(organization=member.organization, user=member.user)
    return f"/organization/members/{found.pk}/{verb}/"


@pytest.fixture
def admin(owner, make_member):
    return make_member(owner.organization, Role.ADMIN, name="alan")


def test_removal_lists_and_ends_tokens_and_invitations(owner, admin):
    link = invite(admin)
    page = owner.client.get(path_of(admin, "remove")).content.decode()
    assert "API tokens that end" in page and GRACE in page
    owner.client.post(path_of(admin, "remove"))
    assert Client().get(link).status_code == 404
    assert admin.api("GET", "/me").status_code == 401
    assert Invitation.unscoped.get().revoked_at and ApiToken.objects.get(user=admin.user).revoked_at
    verbs = AuditEvent.objects.values_list("verb", flat=True)
    assert {"token.revoked", "invitation.revoked", "member.removed"} <= set(verbs)


def test_a_lower_role_asks_first_and_ends_what_reaches_further(owner, admin):
    link = invite(admin)
    answer = owner.client.post(path_of(admin, "role"), {"role": int(Role.EDITOR)})
    assert answer.status_code == 200 and GRACE in answer.content.decode()
    assert Membership.unscoped.get(user=admin.user).role == Role.ADMIN
    owner.client.post(path_of(admin, "role"), {"role": int(Role.EDITOR), "confirmed": "1"})
    assert Membership.unscoped.get(user=admin.user).role == Role.EDITOR
    assert Client().get(link).status_code == 404
    assert admin.api("GET", "/me").status_code == 401, "a token of the scope “admin” ends"


def test_a_lower_role_leaves_what_it_still_covers(owner, make_member):
    editor = make_member(owner.organization, Role.ADMIN, scope=ApiToken.Scope.READ, name="rita")
    owner.client.post(path_of(editor, "role"), {"role": int(Role.VIEWER)})
    assert Membership.unscoped.get(user=editor.user).role == Role.VIEWER, "nothing to ask about"
    assert editor.api("GET", "/me").status_code == 200


@pytest.mark.parametrize("how", ["deactivated", "removed", "lowered"])
def test_an_invitation_holds_as_long_as_its_sender_could_send_it(owner, admin, how):
    """Also where the end of the membership left no trace on the invitation itself."""
    link = invite(admin)
    assert Client().get(link).status_code == 200
    own = Membership.unscoped.filter(user=admin.user)
    if how == "deactivated":
        type(admin.user).objects.filter(pk=admin.user.pk).update(is_active=False)
    elif how == "removed":
        own.delete()
    else:
        own.update(role=Role.EDITOR)
    assert Client().get(link).status_code == 404


def test_an_invitation_whose_sender_is_gone_is_not_even_mailed(owner, admin):
    admin.client.post("/organization/", {"email": GRACE, "role": int(Role.EDITOR)})
    Membership.unscoped.filter(user=admin.user).delete()
    while run_next("worker"):
        pass
    assert not mail.outbox


@pytest.mark.parametrize("operation", [one for one in operations() if one.operation in GOVERNING], ids=str)
def test_a_writing_token_of_an_owner_governs_nothing(operation, owner, make_member, home):
    writer = make_member(owner.organization, Role.OWNER, scope=ApiToken.Scope.WRITE, name="wanda")
    world = make_world(owner)
    before = [list(kind._base_manager.values()) for kind in (Organization, Membership, Invitation)]
    bodies = {
        "rename_organization": {"name": "Other"},
        "change_member_role": {"role": "viewer"},
        "invite_member": {"email": "x@lab.example", "role": "viewer"},
    }
    path = operation.path(world.ids).removeprefix("/api/v1")
    answer = writer.api(operation.method, path, bodies.get(operation.operation))
    assert answer.status_code == 403 and "scope “admin”" in answer.json()["error"]
    assert [list(kind._base_manager.values()) for kind in (Organization, Membership, Invitation)] == before


def test_all_governing_operations_are_in_the_list_above():
    words = ("organization", "member", "invitation")
    governing = {
        one.operation
        for one in operations()
        if one.method != "GET" and any(word in one.operation for word in words)
    }
    assert governing <= GOVERNING


def test_a_writing_token_uploads_runs_and_deletes(owner, make_member, home):
    writer = make_member(owner.organization, Role.OWNER, scope=ApiToken.Scope.WRITE, name="wanda")
    order = {"name": "New", "organization_id": owner.organization.id}
    assert writer.api("POST", "/projects", order).status_code == 201
    dataset = writer.api("POST", "/datasets", order).json()["id"]
    assert writer.api("POST", f"/datasets/{dataset}/trash").status_code == 200
    assert writer.api("DELETE", f"/datasets/{dataset}").status_code in (202, 204)


def ask_for_token(member, scope):
    member.client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/settings/"})
    form = {"name": "t", "organization": member.organization.id, "scope": scope, "days": "7"}
    return member.client.post("/settings/tokens/", form)


def test_who_may_make_a_token_that_governs(owner, make_member):
    editor = make_member(owner.organization, Role.EDITOR, name="edda")
    assert 'value="admin"' not in editor.client.get("/settings/tokens/").content.decode()
    assert ask_for_token(editor, "admin").status_code == 422
    bare = make_member(owner.organization, Role.OWNER, name="bo")
    Authenticator.objects.filter(user=bare.user).delete()
    answer = ask_for_token(bare, "admin")
    assert answer.status_code == 403 and "second factor" in answer.content.decode()
    assert ApiToken.objects.filter(name="t").count() == 0
    Authenticator.objects.filter(user=owner.user).delete()
    assert ask_for_token(owner, "write").status_code == 200


def test_an_admin_of_one_organization_makes_no_governing_token_for_another(owner, stranger):
    Membership.unscoped.create(organization=owner.organization, user=stranger.user, role=Role.EDITOR)
    Authenticator.objects.filter(user=stranger.user).delete()
    stranger.client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/settings/"})
    form = {"name": "t", "organization": owner.organization.id, "scope": "admin", "days": "7"}
    assert stranger.client.post("/settings/tokens/", form).status_code == 403
