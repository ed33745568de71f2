"""Organizations, members and invitations through the API."""

from cryocloud.web.organizations.models import Invitation, Membership, Role


def test_members_are_listed_page_by_page(owner, make_member):
    for number in range(4):
        make_member(owner.organization, Role.VIEWER, name=f"m{number}")
    path = f"/organizations/{owner.organization.id}/members?limit=2"
    seen, after = [], ""
    while True:
        page = owner.api("GET", f"{path}&after={after}").json()
        seen += [member["user"]["name"] for member in page["items"]]
        after = page["next"]
        if not after:
            break
    assert sorted(seen) == ["ada", "m0", "m1", "m2", "m3"]


def test_a_role_is_changed_and_the_last_owner_stays(owner, make_member):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    membership = Membership.unscoped.get(user=viewer.user)
    answer = owner.api("PATCH", f"/members/{membership.id}", {"role": "editor"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["role"] == "editor"
    own = Membership.unscoped.get(user=owner.user)
    assert owner.api("PATCH", f"/members/{own.id}", {"role": "viewer"}).status_code == 409
    assert owner.api("DELETE", f"/members/{own.id}").status_code in (403, 409)


def test_a_removed_member_is_out_at_once(owner, make_member):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    membership = Membership.unscoped.get(user=viewer.user)
    assert owner.api("DELETE", f"/members/{membership.id}").status_code == 204
    assert viewer.api("GET", "/me").status_code == 401
    assert viewer.client.get(f"/api/v1/organizations/{owner.organization.id}").status_code == 404


def test_an_editor_cannot_change_members(owner, make_member):
    editor = make_member(owner.organization, Role.EDITOR, name="eddie")
    own = Membership.unscoped.get(user=editor.user)
    assert editor.api("PATCH", f"/members/{own.id}", {"role": "owner"}).status_code == 403
    path = f"/organizations/{owner.organization.id}/invitations"
    assert editor.api("POST", path, {"email": "x@lab.example", "role": "viewer"}).status_code == 403


def test_invitations_are_made_listed_and_taken_back(owner):
    path = f"/organizations/{owner.organization.id}/invitations"
    made = owner.api("POST", path, {"email": "New@Lab.example", "role": "editor"})
    assert made.status_code == 201, made.content
    assert made.json()["email"] == "new@lab.example"
    assert [one["id"] for one in owner.api("GET", path).json()["items"]] == [made.json()["id"]]
    assert owner.api("DELETE", f"/invitations/{made.json()['id']}").status_code == 204
    assert owner.api("GET", path).json()["items"] == []
    assert Invitation.unscoped.get().revoked_at is not None


def test_an_address_that_is_none_is_refused_by_name(owner):
    path = f"/organizations/{owner.organization.id}/invitations"
    answer = owner.api("POST", path, {"email": "nowhere", "role": "editor"})
    assert answer.status_code == 422
    assert "email" in answer.json()["fields"]


def test_storage_begins_at_nothing_and_names_the_limit(owner, home):
    told = owner.api("GET", f"/organizations/{owner.organization.id}/storage").json()
    assert told == {"used_bytes": 0, "limit_bytes": 2 * 10**12, "used_files": 0, "limit_files": 100_000}
