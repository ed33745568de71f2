"""Roles, removal, leaving, and switching between organizations."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.organizations.models import Membership, Organization, Role


def membership(member):
    return Membership.unscoped.get(organization=member.organization, user=member.user)


def give_role(actor, member, role):
    return actor.client.post(
        f"/organization/members/{membership(member).id}/role/", {"role": int(role), "confirmed": 1}
    ).status_code


def remove(actor, member):
    return actor.client.post(f"/organization/members/{membership(member).id}/remove/").status_code


@pytest.fixture
def people(owner, make_member):
    """One of each role in one organization."""
    named = {
        role: make_member(owner.organization, role, name=role.label) for role in Role if role != Role.OWNER
    }
    return named | {Role.OWNER: owner}


@pytest.mark.parametrize("role", list(Role))
def test_everybody_sees_the_members_and_only_managers_see_the_means(people, role):
    page = people[role].client.get("/organization/").content.decode()
    for member in people.values():
        assert member.user.email in page
    assert ("Send the invitation" in page) == (role >= Role.ADMIN)
    assert ("Remove" in page) == (role >= Role.ADMIN)


@pytest.mark.parametrize(
    ("actor", "target", "wanted", "status"),
    [
        (Role.OWNER, Role.VIEWER, Role.OWNER, 302),
        (Role.OWNER, Role.ADMIN, Role.VIEWER, 302),
        (Role.ADMIN, Role.VIEWER, Role.ADMIN, 302),
        (Role.ADMIN, Role.EDITOR, Role.OWNER, 403),
        (Role.ADMIN, Role.ADMIN, Role.OWNER, 403),
        (Role.ADMIN, Role.OWNER, Role.VIEWER, 403),
        (Role.EDITOR, Role.VIEWER, Role.EDITOR, 403),
        (Role.VIEWER, Role.VIEWER, Role.OWNER, 403),
    ],
)
def test_who_may_give_which_role(people, actor, target, wanted, status):
    before = membership(people[target]).role
    assert give_role(people[actor], people[target], wanted) == status
    assert membership(people[target]).role == (wanted if status == 302 else before)
    if status == 302:
        event = AuditEvent.objects.get(verb="member.role_changed")
        assert event.detail == {"before": Role(before).label, "after": wanted.label}
        assert event.actor_id == people[actor].user.id


@pytest.mark.parametrize("role", ["", "50", "owner", "10; drop", "-10"])
def test_what_is_no_role_is_refused(people, role):
    path = f"/organization/members/{membership(people[Role.VIEWER]).id}/role/"
    assert people[Role.OWNER].client.post(path, {"role": role}).status_code == 422


@pytest.mark.parametrize(
    ("actor", "target", "status"),
    [
        (Role.OWNER, Role.ADMIN, 302),
        (Role.ADMIN, Role.EDITOR, 302),
        (Role.ADMIN, Role.OWNER, 403),
        (Role.EDITOR, Role.VIEWER, 403),
        (Role.VIEWER, Role.VIEWER, 302),
    ],
)
def test_who_may_remove_whom(people, actor, target, status):
    assert remove(people[actor], people[target]) == status
    still = Membership.unscoped.filter(user=people[target].user).exists()
    assert still == (status != 302)


def test_strangers_meet_nothing(people, stranger):
    for path in ("role/", "remove/"):
        target = f"/organization/members/{membership(people[Role.VIEWER]).id}/{path}"
        missing = f"/organization/members/{'a' * 26}/{path}"
        answers = [stranger.client.post(one, {"role": 10}) for one in (target, missing)]
        assert [one.status_code for one in answers] == [404, 404]
    assert (
        stranger.client.post("/organization/switch/", {"id": people[Role.OWNER].organization.id}).status_code
        == 404
    )
    assert people[Role.VIEWER].user.email not in stranger.client.get("/organization/").content.decode()


def test_the_last_owner_stays_owner(people):
    owner = people[Role.OWNER]
    answer = owner.client.post(f"/organization/members/{membership(owner).id}/remove/")
    assert answer.status_code == 409 and "last owner" in answer.content.decode()
    assert give_role(owner, owner, Role.ADMIN) == 409
    assert membership(owner).role == Role.OWNER
    give_role(owner, people[Role.ADMIN], Role.OWNER)
    assert give_role(owner, owner, Role.VIEWER) == 302
    assert remove(owner, owner) == 302


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_step_down_at_once_leave_one(owner, make_member):
    other = make_member(owner.organization, Role.OWNER, name="olga")

    def step_down(member):
        browser = Client()
        browser.cookies = member.client.cookies
        try:
            return browser.post(
                f"/organization/members/{membership(member).id}/role/", {"role": 10, "confirmed": 1}
            ).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(pool.map(step_down, (owner, other)))
    assert statuses == [302, 409]
    assert Membership.unscoped.filter(organization=owner.organization, role=Role.OWNER).count() == 1


def test_who_is_removed_loses_sight_and_tokens_at_once(people):
    viewer = people[Role.VIEWER]
    assert viewer.api("GET", "/me").status_code == 200
    remove(people[Role.OWNER], viewer)
    assert viewer.api("GET", "/me").status_code == 401
    assert ApiToken.objects.get(user=viewer.user).revoked_at is not None
    assert viewer.client.get("/organization/").status_code == 404
    assert viewer.client.get("/settings/").status_code == 200


def test_removing_and_leaving_ask_first(people):
    owner, viewer = people[Role.OWNER], people[Role.VIEWER]
    page = owner.client.get(f"/organization/members/{membership(viewer).id}/remove/").content.decode()
    assert "Remove <bdi>viewer</bdi>?" in page
    page = viewer.client.get(f"/organization/members/{membership(viewer).id}/remove/").content.decode()
    assert "Leave" in page
    assert membership(viewer)
    assert (
        people[Role.EDITOR].client.get(f"/organization/members/{membership(viewer).id}/remove/").status_code
        == 403
    )


def test_a_person_has_several_organizations_and_switches(owner, stranger):
    Membership.unscoped.create(organization=stranger.organization, user=owner.user, role=Role.VIEWER)
    assert owner.organization.name in owner.client.get("/organization/").content.decode()
    answer = owner.client.post("/organization/switch/", {"id": stranger.organization.id})
    assert answer.status_code == 302
    page = owner.client.get("/organization/").content.decode()
    assert f"<h1><bdi>{stranger.organization.name}</bdi></h1>" in page and "You are viewer here" in page


def test_a_further_organization_is_made_and_a_second_trial_waits(owner):
    for n in range(2):
        assert owner.client.post("/organization/new/", {"name": f"Lab {n}"}).status_code == 302
    made = Organization.objects.filter(name__in=("Lab 0", "Lab 1")).order_by("name")
    assert [(one.state, one.is_under_review) for one in made] == [("trial", False), ("trial", True)]
    assert "a person looks at this one first" in owner.client.get("/organization/new/").content.decode()


def test_managers_rename_the_organization(people):
    for role, status in ((Role.VIEWER, 403), (Role.ADMIN, 302)):
        assert people[role].client.post("/organization/name/", {"name": "Ice Lab"}).status_code == status
    assert Organization.objects.get().name == "Ice Lab"
    answer = people[Role.ADMIN].client.post("/organization/name/", {"name": "http://x.example"})
    assert answer.status_code == 422


@pytest.mark.requirement("TRL-02")
def test_the_end_of_the_trial_is_shown(owner):
    page = owner.client.get("/organization/").content.decode()
    assert f"{owner.organization.state_until:%B %Y, %H:%M} UTC. After that" in page and "30 days left" in page


def test_names_are_shown_as_text(owner, make_member):
    make_member(owner.organization, Role.VIEWER, name="vera")
    Membership.unscoped.get(user__email="vera@lab.example").user.__class__.objects.filter(
        email="vera@lab.example"
    ).update(name="<script>alert(1)</script>")
    page = owner.client.get("/organization/").content.decode()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
