"""The one door: members by role, strangers and missing things alike."""

from __future__ import annotations

import pytest

from cryocloud.web.accounts.actor import Actor
from cryocloud.web.accounts.models import ApiToken
from cryocloud.web.core.errors import Forbidden, NotFound
from cryocloud.web.organizations import access
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project


def make_project(member):
    return Project.unscoped.create(
        organization=member.organization, name="apoferritin", created_by_id=member.user.id
    )


def test_a_member_gets_what_is_theirs(owner):
    project = make_project(owner)
    assert access.get(owner.actor, Project, project.id, needs=Role.OWNER) == project


def test_a_stranger_gets_the_answer_of_a_missing_thing(owner, stranger):
    project = make_project(owner)
    messages = []
    for wanted in (project.id, "a" * 26):
        with pytest.raises(NotFound) as error:
            access.get(stranger.actor, Project, wanted)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert not access.visible(stranger.actor, Project).exists()


def test_a_viewer_may_look_and_not_touch(owner, make_member):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    project = make_project(owner)
    assert access.get(viewer.actor, Project, project.id) == project
    with pytest.raises(Forbidden, match="viewer"):
        access.get(viewer.actor, Project, project.id, needs=Role.EDITOR)


def test_a_reading_token_of_an_owner_may_only_read(make_member):
    reader = make_member(scope=ApiToken.Scope.READ)
    project = make_project(reader)
    actor = Actor(reader.user, ApiToken.objects.get())
    assert access.get(actor, Project, project.id) == project
    with pytest.raises(Forbidden, match="only read"):
        access.get(actor, Project, project.id, needs=Role.EDITOR)


def test_a_token_reaches_no_other_organization_of_its_owner(owner, stranger):
    from cryocloud.web.organizations.models import Membership

    Membership.unscoped.create(organization=stranger.organization, user=owner.user, role=Role.OWNER)
    elsewhere = make_project(stranger)
    assert access.get(Actor(owner.user), Project, elsewhere.id) == elsewhere
    token = ApiToken.objects.get(user=owner.user)
    with pytest.raises(NotFound):
        access.get(Actor(owner.user, token), Project, elsewhere.id)


def test_who_is_deactivated_gets_nothing(owner):
    project = make_project(owner)
    owner.user.is_active = False
    owner.user.save()
    with pytest.raises(NotFound):
        access.get(owner.actor, Project, project.id)
