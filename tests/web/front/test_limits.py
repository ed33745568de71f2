"""What a request or a connection may cost, asked of a real server by somebody who means no good."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
from django.db import connection as db

from cryocloud.web.data.services import create_dataset
from cryocloud.web.organizations.models import Role
from platform_server import serving
from raw_http import RawConnection

MIB = 1 << 20
FORM = "application/x-www-form-urlencoded"


def memory_kib(process, name="VmHWM"):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0])


def pour(connection, size_bytes, piece=b"x" * (64 << 10), *, chunked=False):
    """Send until all is out or the server has had enough; the number of bytes that went out."""
    sent = 0
    wire = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    try:
        while sent < size_bytes:
            connection.socket.sendall(wire)
            sent += len(piece)
    except OSError:
        pass
    return sent


@pytest.mark.parametrize("path", ["/accounts/login/", "/", "/api/v1/projects", "/events/jobs/x", "/missing/"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(connect, path):
    connection = connect(timeout_s=30)
    connection.send("POST", path, Content_Type=FORM, Content_Length=str(100 * 10**9))
    answer = connection.answer()
    assert answer.status == 413 and answer.closes
    assert b"3,000,000" in answer.body
    assert connection.is_closed()


def test_a_body_that_expects_a_go_ahead_gets_none(connect):
    connection = connect(timeout_s=30)
    connection.send("POST", "/accounts/login/", Content_Length=str(400 * MIB), Expect="100-continue")
    assert connection.answer().status == 413


def test_a_chunked_body_is_counted_while_it_comes(connect, server):
    before_kib = memory_kib(server.process)
    connection = connect()
    connection.send("POST", "/accounts/login/", Content_Type=FORM, Transfer_Encoding="chunked")
    pour(connection, 4 * MIB, chunked=True)
    answer = connection.answer()
    assert answer.status == 413 and answer.closes
    assert memory_kib(server.process) - before_kib < 40 << 10


def test_uploads_take_bodies_only_where_bytes_belong(connect, transactional_db, make_member):
    bearer = {"Authorization": f"Bearer {make_member().secret}", "Tus_Resumable": "1.0.0"}
    for method, path in (("POST", "/uploads/"), ("DELETE", "/uploads/x"), ("HEAD", "/uploads/x")):
        connection = connect()
        connection.send(method, path, Content_Length=str(10**6), **bearer)
        answer = connection.answer(method)
        assert answer.status == 413 and answer.closes, method


TAKEN = 408  # the rest of what was announced has not come in time


@pytest.fixture
def send_form(connect):
    """The head of a form of so many MiB, and its first byte."""

    def send(dataset_id, cookie, size_mib):
        connection = connect()
        size = str(size_mib * MIB)
        connection.send("POST", f"/datasets/{dataset_id}/upload/", b"x", Content_Length=size, Cookie=cookie)
        return connection

    return send


def cookie_of(member):
    return f"session={member.client.cookies['session'].value}"


def test_a_large_form_is_taken_from_those_who_may_upload_there_only(send_form, make_member):
    owner = make_member()
    viewer = make_member(owner.organization, Role.VIEWER, name="viewer")
    dataset = create_dataset(actor=owner.actor, organization=owner.organization, name="grids")
    stranger = make_member(name="stranger")
    refused = {"session=guessed": 403, cookie_of(viewer): 403, cookie_of(stranger): 404}
    for cookie, status in refused.items():
        assert send_form(dataset.pk, cookie, 100).answer().status == status
    assert send_form("x", cookie_of(owner), 100).answer().status == 404
    assert send_form(dataset.pk, cookie_of(owner), 2000).answer().status == 413
    assert send_form(dataset.pk, cookie_of(owner), 100).answer().status == TAKEN


def test_large_forms_are_bounded_by_plan_and_by_what_is_on_its_way(send_form, make_member):
    """The plan of this server holds 900 MiB; forms of one client together may have 1 GiB."""
    owner = make_member()
    dataset = create_dataset(actor=owner.actor, organization=owner.organization, name="grids")
    cookie = cookie_of(owner)
    assert b"943,718,400 of the plan" in send_form(dataset.pk, cookie, 1000).answer().body
    together = [send_form(dataset.pk, cookie, 600) for _ in range(2)]
    assert sorted(one.answer().status for one in together) == [TAKEN, 503]


def test_a_large_form_is_refused_where_the_disk_has_no_room(
    transactional_db, tmp_path, make_member, send_form_to
):
    owner = make_member()
    dataset = create_dataset(actor=owner.actor, organization=owner.organization, name="grids")
    assert send_form_to(tmp_path, dataset.pk, cookie_of(owner)).status == 507


@pytest.fixture
def send_form_to():
    """To a server whose whole disk is reserved."""
    reserved = "from cryocloud.web.core import disk_room\ndisk_room.SHARE = 2\n"

    def send(home, dataset_id, cookie):
        limits = {"CRYOCLOUD_DISK_RESERVE_BYTES": str(10**18)}
        with serving(home, str(db.settings_dict["NAME"]), prelude=reserved, **limits) as served:
            connection = RawConnection(served.address)
            size = str(100 * MIB)
            connection.send(
                "POST", f"/datasets/{dataset_id}/upload/", b"x", Content_Length=size, Cookie=cookie
            )
            return connection.answer()

    return send


def test_many_small_bodies_are_one_large_one(connect):
    """Each is within its limit, but one client's bodies together are not kept."""
    held = [connect() for _ in range(12)]
    for one in held:
        one.send("POST", "/accounts/login/", Content_Type=FORM, Content_Length="2900000")
        pour(one, 2_800_000)
    statuses = []
    for one in held:
        one.socket.settimeout(10)
        statuses.append(one.answer().status)
    assert statuses.count(503) >= 3
    assert set(statuses) <= {503, 408}


def test_a_body_that_drips_ends(connect):
    connection = connect()
    connection.send("POST", "/accounts/login/", Content_Type=FORM, Content_Length="1000")
    began_s = time.monotonic()
    for _ in range(6):
        time.sleep(0.4)
        connection.socket.sendall(b"x")
    assert connection.answer().status == 408
    assert time.monotonic() - began_s < 20


def test_requests_that_wait_behind_another_are_few(connect, server):
    """Each takes two kilobytes, and one read brings 14,000 of them."""
    before_kib = memory_kib(server.process)
    behind = b"GET / HTTP/1.1\r\n\r\n" * 14_000
    for _ in range(4):
        connection = connect()
        connection.send("POST", "/accounts/login/", b"a", Content_Type=FORM, Content_Length="2")
        time.sleep(0.2)
        pour(connection, len(behind), b"b" + behind)
        assert connection.is_closed()
    assert memory_kib(server.process) - before_kib < 20 << 10


def test_a_few_requests_at_once_are_answered_in_their_order(connect):
    connection = connect()
    paths = ["/health/live", "/missing/", "/health/live", "/accounts/login/"]
    connection.socket.sendall(
        b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths)
    )
    assert [connection.answer().status for _ in paths] == [200, 404, 200, 200]


@pytest.mark.parametrize(
    "piece", [b"X-A: " + 60_000 * b"x" + b"\r\n", b"X-A: " + 60_000 * b"x"], ids=["many", "long"]
)
def test_what_follows_a_chunked_body_is_not_gathered(connect, server, piece):
    before_kib = memory_kib(server.process)
    connection = connect()
    connection.send(
        "POST", "/accounts/login/", b"3\r\nabc\r\n0\r\n", Content_Type=FORM, Transfer_Encoding="chunked"
    )
    assert pour(connection, 30 * MIB, piece) < 30 * MIB
    assert memory_kib(server.process) - before_kib < 10 << 10


@pytest.mark.parametrize("head", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_half_a_head_is_not_waited_for(connect, head):
    connection = connect(timeout_s=30)
    began_s = time.monotonic()
    for _ in range(4):
        if head:
            connection.socket.sendall(head)
        time.sleep(0.3)
    assert connection.is_closed() or connection.answer().status == 408
    assert time.monotonic() - began_s < 20


def test_half_a_second_request_on_a_kept_connection_is_not_waited_for(connect):
    connection = connect(timeout_s=30)
    assert connection.ask("GET", "/health/live").status == 200
    connection.socket.sendall(b"GET /health/live HTTP/1.1\r\n")
    assert connection.answer().status == 408
    assert connection.is_closed()


def test_a_kept_connection_without_a_request_ends(connect):
    connection = connect(timeout_s=30)
    assert connection.ask("GET", "/health/live").status == 200
    assert connection.is_closed()


@pytest.mark.parametrize("piece", [b"x" * 1000, b"x: y\r\n" * 100])
def test_a_head_of_ten_megabytes_is_refused(connect, server, piece):
    connection = connect()
    before_kib = memory_kib(server.process)
    connection.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
    sent = pour(connection, 10 * MIB, piece)
    assert sent < 10 * MIB
    assert connection.answer().status == 431
    assert memory_kib(server.process) - before_kib < 20 << 10


def test_a_long_head_in_one_piece_is_refused(connect):
    connection = connect()
    connection.send("GET", "/api/v1/me", **{f"X_{n}": 7000 * "x" for n in range(10)})
    answer = connection.answer()
    assert answer.status == 431


def test_half_requests_of_one_address_leave_room_for_others(connect, server):
    """The limits of this server are 60 connections of one client and 150 of all."""
    where = server.address.split("//")[1].split(":")
    half = []
    for _ in range(200):
        one = socket.create_connection((where[0], int(where[1])), timeout=5)
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        half.append(one)
    began_s = time.monotonic()
    other = connect(source="127.0.0.2")
    assert other.ask("GET", "/health/live").status == 200
    assert time.monotonic() - began_s < 15
    for one in half:
        one.close()


def test_many_addresses_that_stay_silent_make_room_for_one_that_asks(connect, server):
    silent = [connect(source=f"127.0.0.{10 + n % 5}") for n in range(250)]
    assert connect(source="127.0.0.3").ask("GET", "/health/live").status == 200
    assert silent[0].is_closed()


def test_a_reader_of_many_requests_waits_for_its_turn_and_gets_all(connect):
    asking = [connect() for _ in range(50)]
    for one in asking:
        one.send("GET", "/accounts/login/")
    assert {one.answer().status for one in asking} == {200}


def test_refusals_for_programs_are_json(connect):
    connection = connect()
    connection.send("POST", "/uploads/", Content_Length="99999999")
    told = json.loads(connection.answer().body)
    assert "65,536" in told["error"]


def test_what_a_proxy_says_counts_only_if_the_operator_names_the_proxy(connect, server):
    """Without the setting, everybody could be anybody."""
    statuses = set()
    for number in range(70):
        connection = connect() if number % 50 == 0 else connection
        headers = {"X_Forwarded_For": f"198.51.100.{number}", "Authorization": f"Bearer cryo_p{number}"}
        statuses.add(connection.ask("GET", "/api/v1/me", **headers).status)
    assert statuses == {401, 429}
