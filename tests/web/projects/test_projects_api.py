"""Projects through the API: made, listed, changed, archived; roles and strangers."""

import pytest

from cryocloud.web.organizations.models import Role


def make(owner, **body):
    given = {"organization_id": owner.organization.id, "name": "Apoferritin"} | body
    return owner.api("POST", "/projects", given)


def test_a_project_is_made_read_changed_and_listed(owner):
    made = make(owner, description="Grid 3").json()
    path = f"/projects/{made['id']}"
    assert owner.api("GET", path).json()["description"] == "Grid 3"
    changed = owner.api("PATCH", path, {"name": "  Ferritin \n II "}).json()
    assert changed["name"] == "Ferritin II"
    assert changed["description"] == "Grid 3"
    assert [item["id"] for item in owner.api("GET", "/projects").json()["items"]] == [made["id"]]


def test_pages_of_the_list_join_without_gap_or_repetition(owner):
    made = [make(owner, name=f"P{n}").json()["id"] for n in range(5)]
    seen, after = [], ""
    while True:
        page = owner.api("GET", f"/projects?limit=2&after={after}").json()
        seen += [item["id"] for item in page["items"]]
        after = page["next"]
        if not after:
            break
    assert sorted(seen) == sorted(made)
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "   "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"description": "d" * 4001}, "description"),
    ],
)
def test_values_that_cannot_be_used_are_named(owner, body, field):
    answer = make(owner, **body)
    assert answer.status_code == 422
    assert any(field in name for name in answer.json()["fields"])
    assert owner.api("GET", "/projects").json()["items"] == []


def test_archived_projects_leave_the_list_and_come_back(owner):
    path = f"/projects/{make(owner).json()['id']}"
    assert owner.api("PATCH", path, {"archived": True}).json()["archived_at"]
    assert owner.api("GET", "/projects").json()["items"] == []
    assert len(owner.api("GET", "/projects?archived=true").json()["items"]) == 1
    assert owner.api("PATCH", path, {"archived": False}).json()["archived_at"] is None


def test_strangers_get_the_same_answer_as_for_nothing(owner, stranger):
    own = make(owner).json()["id"]
    missing = owner.api("GET", "/projects/" + "a" * 26)
    for answer in (
        stranger.api("GET", f"/projects/{own}"),
        stranger.api("PATCH", f"/projects/{own}", {"name": "x"}),
    ):
        assert (answer.status_code, answer.content) == (404, missing.content)
    assert make(stranger, organization_id=owner.organization.id).status_code == 404
    assert stranger.api("GET", "/projects").json()["items"] == []


def test_viewers_read_and_change_nothing(owner, make_member):
    viewer = make_member(owner.organization, Role.VIEWER, name="vic")
    path = f"/projects/{make(owner).json()['id']}"
    assert viewer.api("GET", path).status_code == 200
    assert viewer.api("PATCH", path, {"name": "x"}).status_code == 403
    assert make(viewer).status_code == 403


def test_editors_rename_but_do_not_archive(owner, make_member):
    editor = make_member(owner.organization, Role.EDITOR, name="ed")
    path = f"/projects/{make(owner).json()['id']}"
    assert editor.api("PATCH", path, {"name": "x"}).status_code == 200
    assert editor.api("PATCH", path, {"archived": True}).status_code == 403
