"""Notices and choices over the API and the pages: each person's own, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.notices.models import Notice, ProjectChoice
from cryocloud.web.organizations.models import Membership, Role
from cryocloud.web.projects.models import Project
from platform_endings import FAILED, end_job, queued_job

Person = Callable[..., Any]


def test_notices_are_listed_newest_first_and_read_one_by_one_or_all(ada: Any, project: Project) -> None:
    for code in (0, FAILED, 0):
        end_job(queued_job(project, ada.user.pk), code)
    page = ada.api("GET", "/notices?limit=2").json()
    assert [one["title"] for one in page["items"]] == ["Job 3 (Counting)", "Job 2 (Counting)"]
    failed = page["items"][1]
    assert (failed["kind"], failed["state"], failed["subject"], failed["read_at"]) == (
        "failed",
        "failed",
        "job",
        None,
    )
    (first,) = ada.api("GET", f"/notices?after={page['next']}").json()["items"]
    assert ada.api("POST", f"/notices/{first['id']}/read").json()["read_at"] is not None
    assert len(ada.api("GET", "/notices?unread=true").json()["items"]) == 2
    assert ada.api("POST", "/notices/read").json() == {"read": 2}
    assert ada.api("POST", "/notices/read").json() == {"read": 0}


def test_a_colleague_and_a_stranger_find_no_notice_of_somebody_else(
    ada: Any, project: Project, make_person: Person
) -> None:
    end_job(queued_job(project, ada.user.pk))
    notice = Notice.unscoped.get()
    colleague, stranger = make_person(ada.organization, name="bob"), make_person(name="eve")
    for other in (colleague, stranger):
        assert other.api("GET", "/notices").json()["items"] == []
        assert other.api("POST", f"/notices/{notice.pk}/read").status_code == 404
        assert other.api("POST", "/notices/read").json() == {"read": 0}
        assert "Job 1" not in other.client.get("/notices/").content.decode()
    notice.refresh_from_db()
    assert notice.read_at is None


def test_a_token_of_one_organization_lists_nothing_of_another(
    ada: Any, make_person: Person, project: Project
) -> None:
    eve = make_person(name="eve")
    Membership.unscoped.create(organization=ada.organization, user=eve.user, role=Role.EDITOR)
    end_job(queued_job(project, eve.user.pk))
    assert eve.api("GET", "/notices").json()["items"] == []
    assert "Job 1" in eve.client.get("/notices/").content.decode()


def test_mails_are_chosen_and_the_choice_is_recorded(ada: Any) -> None:
    assert ada.api("GET", "/me/mails").json() == {"done": True, "failed": True, "needs_you": True}
    chosen = {"done": False, "failed": True, "needs_you": False}
    assert ada.api("PUT", "/me/mails", chosen).json() == chosen == ada.api("GET", "/me/mails").json()
    page = ada.client.get("/settings/notices/").content.decode()
    assert page.count("checked") == 1
    ada.client.post("/settings/notices/", {"done": "on"})
    assert ada.api("GET", "/me/mails").json() == {"done": True, "failed": False, "needs_you": False}
    assert AuditEvent.objects.filter(verb="person.mails_chosen").count() == 2


@pytest.mark.parametrize("choice", ["follow", "mute"])
def test_a_viewer_chooses_what_to_hear_of_a_project(
    ada: Any, project: Project, make_person: Person, choice: str
) -> None:
    viewer = make_person(ada.organization, Role.VIEWER, name="vera")
    path = f"/projects/{project.pk}/notices"
    assert viewer.api("GET", path).json() == {"choice": "own"}
    assert viewer.api("PUT", path, {"choice": choice}).json() == {"choice": choice}
    assert viewer.api("GET", path).json() == {"choice": choice} and ada.api("GET", path).json() == {
        "choice": "own"
    }
    assert viewer.api("PUT", path, {"choice": "shout"}).status_code == 422
    assert viewer.client.post(f"/projects/{project.pk}/notices/", {"choice": "own"}).status_code == 302
    assert not ProjectChoice.unscoped.exists()


def test_looking_at_a_job_reads_the_notice_of_who_looks_and_of_nobody_else(
    ada: Any, project: Project, make_person: Person
) -> None:
    bob = make_person(ada.organization, name="bob")
    bob.api("PUT", f"/projects/{project.pk}/notices", {"choice": "follow"})
    job = end_job(queued_job(project, ada.user.pk))
    ada.client.get(f"/jobs/{job.pk}/")
    assert [bool(one.read_at) for one in Notice.unscoped.order_by("user__name")] == [True, False]
    assert "1<span" in bob.client.get("/notices/bell/").content.decode()
