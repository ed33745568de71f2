"""Somebody in two organizations opens a link into the one in which they are not at work."""

from __future__ import annotations

import re

import pytest

from cryocloud.web.organizations.models import Membership, Role
from platform_world import make_world

LINKS = (
    "/projects/{project_id}/", "/projects/{project_id}/edit/", "/projects/{project_id}/jobs/new/",
    "/datasets/{dataset_id}/", "/files/{file_id}/", "/runs/{run_id}/", "/jobs/{job_id}/", "/jobs/{job_id}/files/",
    "/compare/?a={job_id}&b={job_id}", "/organization/members/{membership_id}/remove/",
)  # fmt: skip


@pytest.fixture
def world(stranger, home):
    return make_world(stranger)


@pytest.fixture
def guest(owner, stranger):
    """At work in their own organization, and an admin of the other."""
    Membership.unscoped.create(organization=stranger.organization, user=owner.user, role=Role.ADMIN)
    owner.client.post("/organization/switch/", {"id": owner.organization.pk})
    return owner


def headline(answer):
    """The organization that the menu in the header names, and the ones marked in the switchers."""
    page = answer.content.decode()
    named = re.search(r"<summary><svg.*?</svg><span>(?:<bdi>)?([^<]+)", page)[1]
    return named, set(re.findall(r'name="id" value="(\w+)" aria-current="true"', page))


@pytest.mark.parametrize("link", LINKS)
def test_header_switcher_and_menus_follow_what_is_shown(link, guest, stranger, world):
    answer = guest.client.get(link.format(**world.ids))
    assert answer.status_code == 200, answer.content.decode()[:300]
    assert headline(answer) == (stranger.organization.name, {stranger.organization.pk})
    assert "Grid 7" in guest.client.get("/datasets/").content.decode(), "the menu leads on in the same one"


def test_parts_of_a_page_that_lies_open_elsewhere_switch_nothing(guest, world):
    parts = (
        ("/projects/{project_id}/work/", {"HX-Request": "true"}),
        ("/jobs/{job_id}/log/", {"Sec-Fetch-Dest": "empty"}),
        ("/files/{file_id}/preview/thumb/", {"Sec-Fetch-Dest": "image"}),
    )
    for path, headers in parts:
        assert guest.client.get(path.format(**world.ids), headers=headers).status_code == 200
    assert headline(guest.client.get("/dashboard/"))[0] == guest.organization.name


def test_a_link_of_strangers_switches_nothing(owner, world):
    owner.client.post("/organization/switch/", {"id": owner.organization.pk})
    assert owner.client.get("/projects/{project_id}/".format(**world.ids)).status_code == 404
    assert headline(owner.client.get("/dashboard/"))[0] == owner.organization.name
