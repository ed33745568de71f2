"""Datasets over the API."""

from __future__ import annotations

import hashlib

import pytest

from cryocloud.web.core import places
from cryocloud.web.data.models import Dataset, Upload
from cryocloud.web.organizations.models import Role
from web_data import add_file, bytes_of, run_tasks


def make(member, **body):
    given = {"organization_id": member.organization.pk, "name": "apo"} | body
    return member.api("POST", "/datasets", given)


def test_a_dataset_lives_through_the_api(owner):
    made = make(owner, profile={"voltage_kv": 300})
    assert made.status_code == 201
    path = f"/datasets/{made.json()['id']}"
    assert made.json()["profile"]["voltage_kv"] == 300
    changed = owner.api("PATCH", path, {"description": "20 micrographs"})
    assert (changed.json()["name"], changed.json()["description"]) == ("apo", "20 micrographs")
    assert [one["id"] for one in owner.api("GET", "/datasets").json()["items"]] == [made.json()["id"]]
    assert owner.api("DELETE", path).status_code == 409
    assert owner.api("POST", f"{path}/trash").json()["trashed_at"]
    assert owner.api("GET", "/datasets").json()["items"] == []
    assert len(owner.api("GET", "/datasets?trashed=true").json()["items"]) == 1
    assert owner.api("POST", f"{path}/restore").json()["trashed_at"] is None
    owner.api("POST", f"{path}/trash")
    assert owner.api("DELETE", path).status_code == 202
    run_tasks()
    assert owner.api("GET", path).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "x" * 121},
        {"profile": {"voltage_kv": 1}},
        {"profile": {"voltage_kv": "high"}},
        {"description": "x" * 4001},
    ],
)
def test_what_cannot_be_is_refused_with_its_field(owner, body):
    answer = make(owner, **body)
    assert answer.status_code == 422
    assert answer.json()["fields"]
    assert not Dataset.unscoped.exists()


def test_files_are_listed_described_and_downloaded(owner, dataset):
    content = b"0123456789" * 1000
    file = add_file(owner, dataset, "sub/a.bin", content)
    run_tasks()
    listed = owner.api("GET", f"/datasets/{dataset.pk}/files?path=SUB&state=other").json()["items"]
    assert [(one["path"], one["size_bytes"], one["state"]) for one in listed] == [
        ("sub/a.bin", 10_000, "other")
    ]
    assert listed[0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert owner.api("GET", f"/files/{file.pk}").json() == listed[0]
    part = owner.api("GET", f"/files/{file.pk}/content", Range="bytes=10-19")
    assert (part.status_code, bytes_of(part)) == (206, b"0123456789")
    contents = owner.api("GET", f"/datasets/{dataset.pk}/contents").json()
    assert (contents["files"], contents["size_bytes"], contents["unread"]) == (1, 10_000, 0)
    assert owner.api("GET", f"/datasets/{dataset.pk}/deletion").json()["jobs"] == []


def test_a_client_finds_its_open_upload_again(owner, dataset):
    body = {"path": "a.mrc", "size_bytes": 10, "sha256": "ab" * 32}
    first = owner.api("POST", f"/datasets/{dataset.pk}/uploads", body).json()
    places.partial_file(first["id"]).parent.mkdir(parents=True, exist_ok=True)
    places.partial_file(first["id"]).write_bytes(b"1234")
    again = owner.api("POST", f"/datasets/{dataset.pk}/uploads", body).json()
    assert (again["id"], again["offset"], again["url"]) == (first["id"], 4, f"/uploads/{first['id']}")
    other = owner.api("POST", f"/datasets/{dataset.pk}/uploads", body | {"sha256": "cd" * 32})
    assert other.status_code == 409
    assert Upload.unscoped.count() == 1
    assert owner.api("GET", f"/uploads/{first['id']}").json()["state"] == "open"


@pytest.mark.parametrize("path", ["../x", "/x", "a\0b", ""])
def test_hostile_paths_are_refused(owner, dataset, path):
    answer = owner.api("POST", f"/datasets/{dataset.pk}/uploads", {"path": path, "size_bytes": 1})
    assert answer.status_code == 422


def test_sizes_beyond_the_limits_are_refused(owner, dataset):
    for size in (10**12 + 1, 2**63 - 1):
        answer = owner.api("POST", f"/datasets/{dataset.pk}/uploads", {"path": "a", "size_bytes": size})
        assert answer.status_code == 413
    for size in (-1, 2**63, 1.5, "many"):
        answer = owner.api("POST", f"/datasets/{dataset.pk}/uploads", {"path": "a", "size_bytes": size})
        assert answer.status_code == 422


def test_strangers_get_404_and_readers_403(owner, stranger, make_member, dataset):
    file = add_file(owner, dataset, "a", b"1")
    reader = make_member(organization=owner.organization, scope="read", name="rita")
    viewer = make_member(organization=owner.organization, role=Role.VIEWER, name="vera")
    paths = [
        ("GET", f"/datasets/{dataset.pk}", None),
        ("GET", f"/datasets/{dataset.pk}/files", None),
        ("GET", f"/files/{file.pk}/content", None),
        ("PATCH", f"/datasets/{dataset.pk}", {"name": "x"}),
        ("POST", f"/datasets/{dataset.pk}/trash", None),
        ("POST", f"/datasets/{dataset.pk}/uploads", {"path": "b", "size_bytes": 1}),
        ("POST", f"/datasets/{dataset.pk}/server-folders", {"folder": "/tmp"}),
        ("DELETE", f"/datasets/{dataset.pk}", None),
    ]
    for method, path, body in paths:
        assert stranger.api(method, path, body).status_code == 404
        for member in (reader, viewer):
            assert member.api(method, path, body).status_code == (200 if method == "GET" else 403)
