"""Errors over raw HTTP/1.1: each has its own length, so the connection goes on with the next request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryocloud.web.data.partial_file import PartialFile
from cryocloud.web.data.services import begin_upload, create_dataset, finish_upload

OCTETS = "application/offset+octet-stream"


@pytest.fixture
def member(transactional_db, make_member):
    return make_member()


@pytest.fixture
def token(member):
    return {"Authorization": f"Bearer {member.secret}"}


def is_whole(answer, status):
    """An error of the API, as long as it says."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    told = json.loads(answer.body)
    assert set(told) == {"error", "fields"} and told["error"]
    return told


def goes_on(connection):
    assert connection.ask("GET", "/health/live").status == 200


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        (404, "GET", "/api/v1/nothing"),
        (404, "GET", "/api/v1/me/x"),
        (404, "POST", "/api/v1/nothing"),
        (403, "POST", "/api/v1/"),
        (401, "GET", "/api/v1/me?without=token"),
        (405, "POST", "/api/v1/me"),
        (405, "DELETE", "/api/v1/me"),
        (404, "GET", "/api/v1/projects/unknown"),
        (422, "GET", "/api/v1/organizations?limit=many"),
        (404, "GET", "/events/projects/unknown"),
        (404, "GET", "/events/nothing"),
        (405, "POST", "/events/projects/unknown"),
        (500, "GET", "/api/v1/catalog/job-types"),
    ],
)
def test_an_error_has_its_own_length_and_the_connection_goes_on(connect, token, status, method, path):
    credential = {} if "without" in path else token
    connection = connect()
    for _ in range(2):
        is_whole(connection.ask(method, path, **credential), status)
    goes_on(connection)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/me", "/api/v1/projects/unknown"])
def test_head_tells_the_length_of_the_error_and_sends_nothing(connect, token, path):
    connection = connect()
    head = connection.ask("HEAD", path, **token)
    shown = connection.ask("HEAD", path, **token)
    assert head.status == shown.status >= 400
    assert head.headers["content-type"] == "application/json; charset=utf-8"
    assert head.headers["content-length"] == shown.headers["content-length"]
    goes_on(connection)


def test_a_body_that_is_no_json_and_one_of_another_kind(connect, token, member):
    connection = connect()
    path = f"/api/v1/organizations/{member.organization.pk}"
    is_whole(connection.ask("PATCH", path, b"{", Content_Type="application/json", **token), 400)
    refused = connection.ask("PATCH", path, b"<a/>", Content_Type="text/xml", **token)
    assert refused.status in (400, 415, 422)
    is_whole(refused, refused.status)
    goes_on(connection)


def test_a_host_that_is_not_ours(connect):
    connection = connect()
    connection.host = "evil.example"
    is_whole(connection.ask("GET", "/api/v1/me"), 400)
    connection.host = "127.0.0.1"
    goes_on(connection)


def test_a_body_beyond_the_json_limit(connect, token, member):
    connection = connect()
    path = f"/api/v1/organizations/{member.organization.pk}"
    body = b'{"name": "' + 2_700_000 * b"x" + b'"}'
    is_whole(connection.ask("PATCH", path, body, Content_Type="application/json", **token), 413)
    goes_on(connection)


def test_a_body_beyond_the_limit_of_all_is_told_and_the_connection_closed(connect, token):
    connection = connect()
    connection.send("POST", "/api/v1/projects", Content_Length=str(100 * 10**9), **token)
    answer = connection.answer()
    assert "3,000,000" in is_whole(answer, 413)["error"]
    assert answer.closes


def test_tokens_that_are_guessed(connect):
    connection = connect()
    statuses = [
        connection.ask("GET", "/api/v1/me", Authorization=f"Bearer cryo_{n}").status for n in range(70)
    ]
    assert set(statuses) == {401, 429}
    is_whole(connection.ask("GET", "/api/v1/me", Authorization="Bearer cryo_x"), 429)
    goes_on(connection)


def test_ranges_outside_a_file(connect, token, member, served_home, monkeypatch):
    file = stored_file(member, served_home, monkeypatch)
    connection = connect()
    path = f"/api/v1/files/{file}/content"
    assert connection.ask("GET", path, **token).body == b"0123456789"
    for _ in range(2):
        refused = connection.ask("GET", path, Range="bytes=99-", **token)
        is_whole(refused, 416)
        assert refused.headers["content-range"] == "bytes */10"
    part = connection.ask("GET", path, Range="bytes=2-3", **token)
    assert (part.status, part.body) == (206, b"23")
    goes_on(connection)


def stored_file(member, home, monkeypatch):
    """A file of ten bytes in the home of the server."""
    from cryocloud.web.configuration import configuration

    served = configuration().model_copy(update={"home": Path(home)})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: served)
    dataset = create_dataset(actor=member.actor, organization=member.organization, name="stack")
    upload = begin_upload(actor=member.actor, dataset=dataset, path="a.bin", size_bytes=10)
    partial = PartialFile(upload.pk)
    partial.append(memoryview(b"0123456789"))
    partial.sync()
    partial.close()
    finish_upload(upload.pk)
    return dataset.files.get().pk


@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        (405, "GET", "/uploads/", {}),
        (412, "POST", "/uploads/", {"Tus_Resumable": "0.1"}),
        (404, "HEAD", "/uploads/unknown", {}),
        (404, "PATCH", "/uploads/unknown", {"Content_Type": OCTETS, "Upload_Offset": "0"}),
        (415, "PATCH", "/uploads/unknown", {"Content_Type": "text/plain"}),
        (400, "POST", "/uploads/", {"Upload_Length": "many"}),
        (404, "DELETE", "/uploads/unknown", {}),
    ],
)
def test_errors_of_uploads(connect, token, status, method, path, headers):
    connection = connect()
    for _ in range(2):
        answer = connection.ask(method, path, **({"Tus_Resumable": "1.0.0"} | headers), **token)
        assert answer.status == status
        if method != "HEAD":
            assert json.loads(answer.body)["error"]
    goes_on(connection)


def test_an_upload_that_is_refused_ends_although_its_body_goes_on(connect):
    """What nobody reads is not swallowed to its end."""
    connection = connect()
    connection.send(
        "PATCH",
        "/uploads/unknown",
        100_000 * b"x",
        Tus_Resumable="1.0.0",
        Upload_Offset="0",
        Content_Type=OCTETS,
        Content_Length=str(100 * 10**9),
    )
    answer = connection.answer()
    assert answer.status == 401 and answer.closes
    assert connection.is_closed()
