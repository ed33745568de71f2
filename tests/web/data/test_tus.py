"""The tus protocol against a real web process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time

import pytest

from cryocloud.web.core import places
from cryocloud.web.core.clock import now
from cryocloud.web.data.models import DatasetFile, Upload
from cryocloud.web.data.tasks import drop_expired_uploads
from platform_server import serving
from web_data import Tus, add_file, reset, sum_header

MIB = 1 << 20


def wait_for(condition, timeout_s=150.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.05)


def test_a_file_in_three_pieces_arrives_as_it_was_sent(tus, dataset, home):
    content = os.urandom(3 * MIB + 17)
    url = tus.created(dataset, "micrographs/één μ.mrc", len(content))
    assert tus.offset(url) == 0
    for begin in range(0, len(content), MIB + 1):
        answer = tus.patch(url, begin, content[begin : begin + MIB + 1])
        assert answer.status_code == 204, answer.text
    assert tus.offset(url) == len(content)
    file = DatasetFile.unscoped.get()
    assert file.path == "micrographs/één μ.mrc"
    assert file.stored.sha256 == hashlib.sha256(content).hexdigest()
    blob = places.blob_file(file.stored.key)
    named = places.dataset_folder(dataset.pk) / file.path
    assert blob.read_bytes() == content
    assert named.samefile(blob)
    assert "één" not in str(blob)
    assert not any((home / "uploads").iterdir())


def test_an_empty_file_is_complete_when_it_is_announced(tus, dataset):
    tus.created(dataset, "empty.txt", 0)
    assert DatasetFile.unscoped.get().stored.size_bytes == 0


def test_what_the_server_can_do_is_told_without_a_credential(server):
    answer = Tus(server.address).http.options("/uploads/")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation",
        "termination",
        "checksum",
        "expiration",
    }
    assert answer.headers["tus-checksum-algorithm"] == "sha256,sha1"


def test_a_dropped_connection_keeps_every_byte_that_was_received(tus, dataset):
    content = os.urandom(5 * MIB)
    url = tus.created(dataset, "a.mrc", len(content))
    upload_id = url.rpartition("/")[2]
    line = tus.begin_patch(url, 0, len(content))
    line.sendall(content[: 3 * MIB + 5])
    wait_for(
        lambda: (
            places.partial_file(upload_id).exists()
            and places.partial_file(upload_id).stat().st_size >= 3 * MIB
        )
    )
    reset(line)
    wait_for(lambda: tus.offset(url) >= 3 * MIB)
    wait_for(lambda: tus.patch(url, tus.offset(url), content[tus.offset(url) :]).status_code == 204)
    assert places.blob_file(upload_id).read_bytes() == content


def test_a_politely_closed_connection_keeps_even_the_last_odd_byte(tus, dataset):
    url = tus.created(dataset, "a.mrc", 1000)
    line = tus.begin_patch(url, 0, 1000)
    line.sendall(b"x" * 137)
    time.sleep(0.2)
    line.close()
    wait_for(lambda: tus.offset(url) == 137)


def test_a_second_writer_waits_and_a_silent_one_gives_way(tus, dataset):
    content = os.urandom(2 * MIB)
    url = tus.created(dataset, "a.mrc", len(content))
    line = tus.begin_patch(url, 0, len(content))
    line.sendall(content[:MIB])
    wait_for(lambda: tus.offset(url) == MIB)
    assert tus.patch(url, MIB, content[MIB:]).status_code == 423
    # The first connection stays open and says nothing, as after a pulled cable.
    wait_for(lambda: tus.patch(url, MIB, content[MIB:]).status_code == 204)
    assert places.blob_file(url.rpartition("/")[2]).read_bytes() == content
    line.close()


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_wrong_checksum_drops_the_bytes_of_that_request_only(tus, dataset, algorithm):
    first, second = os.urandom(MIB), os.urandom(MIB)
    url = tus.created(dataset, "a.mrc", 2 * MIB)
    assert tus.patch(url, 0, first, **sum_header(algorithm, first)).status_code == 204
    assert tus.patch(url, MIB, second, **sum_header(algorithm, first)).status_code == 460
    assert tus.offset(url) == MIB
    assert tus.patch(url, MIB, second, **sum_header(algorithm, second)).status_code == 204
    assert DatasetFile.unscoped.get().stored.sha256 == hashlib.sha256(first + second).hexdigest()


def test_a_whole_file_that_is_not_the_announced_one_is_refused(tus, dataset, owner):
    from cryocloud.web.data.services import begin_upload

    upload = begin_upload(actor=owner.actor, dataset=dataset, path="a", size_bytes=4, sha256="0" * 64)
    answer = tus.patch(f"/uploads/{upload.pk}", 0, b"abcd")
    assert answer.status_code == 460
    assert "instead of 0000" in answer.json()["error"]
    assert tus.http.head(f"/uploads/{upload.pk}").status_code == 410
    assert not DatasetFile.unscoped.exists()


def test_termination_frees_the_name_and_the_bytes(tus, dataset):
    url = tus.created(dataset, "a.mrc", 10)
    tus.patch(url, 0, b"12345")
    assert tus.http.delete(url).status_code == 204
    assert tus.http.head(url).status_code == 410
    assert not places.partial_file(url.rpartition("/")[2]).exists()
    assert tus.create(dataset.pk, "a.mrc", 10).status_code == 201


def test_uploads_expire_after_seven_quiet_days(tus, dataset, monkeypatch):
    url = tus.created(dataset, "a.mrc", 10)
    assert tus.http.head(url).headers["upload-expires"].endswith("GMT")
    tus.patch(url, 0, b"12345")
    moment = now()
    monkeypatch.setattr("cryocloud.web.data.tasks.now", lambda: moment.replace(year=moment.year + 1))
    drop_expired_uploads()
    assert tus.http.head(url).status_code == 410
    assert not places.partial_file(url.rpartition("/")[2]).exists()


@pytest.mark.parametrize(
    ("offset", "content", "headers", "status"),
    [
        (3, b"abc", {}, 409),
        (0, b"x" * 11, {}, 413),
        (0, b"abc", {"Content-Type": "text/plain"}, 415),
        (0, b"abc", {"Upload-Checksum": "md5 AAAA"}, 400),
        (0, b"abc", {"Upload-Checksum": "sha256 ???"}, 400),
        (0, b"abc", {"Upload-Offset": "-1"}, 400),
        (0, b"abc", {"Upload-Offset": "9" * 30}, 400),
        (0, b"abc", {"Tus-Resumable": "0.2"}, 412),
    ],
)
def test_requests_outside_the_protocol_are_refused_and_lose_nothing(
    tus, dataset, offset, content, headers, status
):
    url = tus.created(dataset, "a.mrc", 10)
    assert tus.patch(url, offset, content, **headers).status_code == status
    assert tus.offset(url) == 0
    assert tus.patch(url, 0, b"0123456789").status_code == 204


def test_more_bytes_than_announced_without_a_length_are_cut_off(tus, dataset):
    url = tus.created(dataset, "a.mrc", 10)
    answer = tus.patch(url, 0, iter([b"0123456789", b"surplus"]))
    assert answer.status_code == 413
    assert tus.offset(url) == 10
    assert places.blob_file(url.rpartition("/")[2]).read_bytes() == b"0123456789"


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", "a\\b", "a\0b", "a\nb", "a\x7fb",
        "x" * 501, "y" * 256, "é" * 128, "a/" * 40 + "b", "gpj.\u202ecrm", "a\u2028b",
    ],
)  # fmt: skip
def test_hostile_names_are_refused_before_a_byte_is_sent(tus, dataset, path):
    answer = tus.create(dataset.pk, path, 10)
    assert answer.status_code == 422, answer.text
    assert "path" in answer.json()["fields"]
    assert not Upload.unscoped.exists()


def test_names_that_look_odd_but_are_harmless_are_kept(tus, dataset):
    for path in ("-rf", "a b/ç.mrc", "..hidden", "CON", "%2e%2e/x", "$(reboot).mrc", "z" * 255, "漢字.mrc"):
        tus.patch(tus.created(dataset, path, 1), 0, b"1")
    assert DatasetFile.unscoped.count() == 8


def test_a_name_cannot_be_a_file_and_a_folder(tus, dataset, owner):
    add_file(owner, dataset, "a", b"1")
    assert tus.create(dataset.pk, "a/b", 10).status_code == 409
    tus.created(dataset, "c/d", 10)
    assert tus.create(dataset.pk, "c", 10).status_code == 409


def test_a_file_of_a_dataset_is_never_replaced(tus, dataset, owner):
    add_file(owner, dataset, "a.mrc", b"old")
    answer = tus.create(dataset.pk, "a.mrc", 10)
    assert answer.status_code == 409
    assert "has a file of this name with 3 bytes, and this one has 10" in answer.json()["error"]
    answer = tus.create(dataset.pk, "a.mrc", 3)
    assert answer.status_code == 409
    assert "in this dataset already (3 bytes)" in answer.json()["error"]


def test_strangers_viewers_and_nobody_cannot_send(server, tus, dataset, stranger, make_member, owner):
    viewer = make_member(organization=owner.organization, role=10, name="vera")
    reader = make_member(organization=owner.organization, scope="read", name="rita")
    url = tus.created(dataset, "a.mrc", 3)
    missing = "/uploads/" + "a" * 26
    for secret, status in (
        (stranger.secret, 404),
        (viewer.secret, 403),
        (reader.secret, 403),
        ("cryo_no", 401),
        ("", 401),
    ):
        client = Tus(server.address, secret)
        assert client.create(dataset.pk, "b.mrc", 3).status_code == status
        for answer in (client.patch(url, 0, b"abc"), client.http.delete(url), client.http.head(url)):
            assert answer.status_code == status
    there, nowhere = (Tus(server.address, stranger.secret).http.delete(one) for one in (url, missing))
    assert (there.status_code, there.content) == (nowhere.status_code, nowhere.content)
    assert tus.offset(url) == 0


def test_a_session_counts_with_the_origin_of_our_own_pages_only(server, dataset, owner):
    cookie = f"session={owner.client.cookies['session'].value}"
    for origin, status in (
        (server.address, 201),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
        (server.address + ".evil.example", 403),
    ):
        headers = {"Cookie": cookie} | ({"Origin": origin} if origin else {})
        answer = Tus(server.address, **headers).create(dataset.pk, f"{status}", 3)
        assert answer.status_code == status
        if status == 201:
            url = answer.headers["location"]
    # A browser names no origin when it asks its own server how far an upload is.
    looking = Tus(server.address, Cookie=cookie)
    assert looking.offset(url) == 0
    assert looking.patch(url, 0, b"abc").status_code == 403


def test_the_disk_of_the_server_runs_full_and_the_upload_goes_on_later(
    transactional_db, home, owner, dataset
):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = home / "uploads"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    from django.db import connection

    content = os.urandom(3 * MIB)
    try:
        with serving(home, str(connection.settings_dict["NAME"])) as served:
            tus = Tus(served.address, owner.secret)
            url = tus.created(dataset, "a.mrc", len(content))
            answer = tus.patch(url, 0, content)
            assert answer.status_code == 507
            assert tus.offset(url) == 2 * MIB
            subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
            assert tus.patch(
                url, 2 * MIB, content[2 * MIB :], **sum_header("sha1", content[2 * MIB :])
            ).status_code in (204, 500)
            assert places.partial_file(url.rpartition("/")[2]).read_bytes() == content
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_the_quota_holds_at_its_last_byte_and_counts_what_was_announced(tus, dataset):
    limit = 2 * 10**12
    assert tus.create(dataset.pk, "too big", 10**12 + 1).status_code == 413
    first = tus.created(dataset, "a", 10**12)
    second = tus.created(dataset, "b", limit - 10**12)
    refused = tus.create(dataset.pk, "c", 1)
    assert refused.status_code == 413
    assert "0 of the plan's 2,000,000,000,000 bytes" in refused.json()["error"]
    tus.http.delete(second)
    assert tus.create(dataset.pk, "d", limit - 10**12 - 1).status_code == 201
    assert tus.create(dataset.pk, "e", 2).status_code == 413
    assert tus.create(dataset.pk, "f", 1).status_code == 201
    assert first
