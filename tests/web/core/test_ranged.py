"""Files over HTTP: whole, by one range, conditional, and never as a page of ours."""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path

import pytest
from django.test import RequestFactory

from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.ranged import PIECE_BYTES, ranged_response, shown_name

# A response that is closed also closes old connections to the database.
pytestmark = pytest.mark.django_db
SHA256 = "ab" * 32


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "stored"
    path.write_bytes(random.Random(0).randbytes(2 * PIECE_BYTES + 12345))
    return path


def get(path, method="GET", **options):
    headers = options.pop("headers", {})
    request = RequestFactory().generic(method, "/", headers=headers)
    return ranged_response(request, path, **({"name": "map.mrc", "sha256": SHA256} | options))


def body(response):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = b"".join(response)
    response.close()
    return content


def test_the_whole_file_comes_with_its_checksum_and_is_saved_not_shown(stored):
    response = get(stored)
    assert response.status_code == 200
    assert body(response) == stored.read_bytes()
    assert response["Content-Length"] == str(stored.stat().st_size)
    assert response["ETag"] == f'"{SHA256}"'
    assert response["Accept-Ranges"] == "bytes"
    assert response["Content-Disposition"] == 'attachment; filename="map.mrc"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]


def test_random_ranges_equal_the_bytes(stored):
    content, draw = stored.read_bytes(), random.Random(1)
    for _ in range(60):
        first, last = sorted(draw.randrange(len(content)) for _ in range(2))
        for asked, expected in (
            (f"{first}-{last}", content[first : last + 1]),
            (f"{first}-", content[first:]),
            (f"-{last + 1}", content[-(last + 1) :]),
            (f"{first}-{last + len(content)}", content[first:]),
        ):
            response = get(stored, headers={"Range": f"bytes={asked}"})
            assert response.status_code == 206
            assert body(response) == expected, asked
            begin = len(content) - len(expected) if asked[0] == "-" else first
            assert response["Content-Range"] == f"bytes {begin}-{begin + len(expected) - 1}/{len(content)}"
            assert response["Content-Length"] == str(len(expected))


@pytest.mark.parametrize("asked", ["bytes=99999999999-", "bytes=-0", "bytes=1318921-1318922"])
def test_a_range_outside_the_file_is_refused_with_the_size(stored, asked):
    response = get(stored, headers={"Range": asked})
    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{stored.stat().st_size}"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,4-5", "bytes=٣-٤", "0-9"]
)
def test_what_is_not_one_range_gets_the_whole_file(stored, asked):
    response = get(stored, headers={"Range": asked})
    assert response.status_code == 200
    assert body(response) == stored.read_bytes()


def test_a_download_is_resumed_only_if_the_file_is_still_the_same(stored):
    same = get(stored, headers={"Range": "bytes=10-", "If-Range": f'"{SHA256}"'})
    assert same.status_code == 206
    other = get(stored, headers={"Range": "bytes=10-", "If-Range": '"older"'})
    assert other.status_code == 200
    assert body(other) == stored.read_bytes()
    dated = get(stored, headers={"Range": "bytes=10-", "If-Range": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert dated.status_code == 200


def test_what_the_reader_has_is_not_sent_again(stored):
    response = get(stored, headers={"If-None-Match": f'"other", W/"{SHA256}"'})
    assert response.status_code == 304
    assert response.content == b""


def test_without_a_checksum_the_tag_changes_with_the_file(stored):
    before = get(stored, sha256="")["ETag"]
    os.utime(stored, ns=(1, 1))
    assert get(stored, sha256="")["ETag"] != before


def test_head_tells_the_length_and_sends_nothing(stored):
    response = get(stored, "HEAD", headers={"Range": "bytes=0-99"})
    assert response.status_code == 206
    assert response["Content-Length"] == "100"
    assert response.content == b""


def test_an_empty_file_is_sent_and_has_no_ranges(tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    assert body(get(empty)) == b""
    assert get(empty, headers={"Range": "bytes=0-0"}).status_code == 416
    assert get(empty, headers={"Range": "bytes=-5"}).status_code == 416


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "text/plain", "application/pdf"])
def test_types_that_a_browser_could_run_are_never_shown_in_place(stored, media_type):
    response = get(stored, media_type=media_type, inline=True)
    assert response["Content-Disposition"].startswith("attachment")


def test_pictures_may_be_shown_in_place(stored):
    assert get(stored, name="a.png", media_type="image/png", inline=True)["Content-Disposition"].startswith(
        "inline"
    )


def test_links_folders_pipes_and_missing_files_are_not_there(stored, tmp_path):
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(stored)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path, tmp_path / "missing", tmp_path / "\0"):
        with pytest.raises(NotFound):
            get(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Größe 2 Å.mrc", "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe%202%20%C3%85.mrc"),
        ('a"b.mrc', 'attachment; filename="a_b.mrc"'),
        ("../../etc/passwd", 'attachment; filename="_.._etc_passwd"'),
        ("a\r\nSet-Cookie: x.mrc", 'attachment; filename="a__Set-Cookie_ x.mrc"'),
        ("..", 'attachment; filename="file"'),
    ],
)
def test_names_cannot_break_the_header(stored, name, expected):
    assert get(stored, name=name)["Content-Disposition"] == expected


def test_letters_that_turn_the_direction_are_not_kept():
    assert shown_name("map\u202egnp.exe") == "map_gnp.exe"


def test_a_file_that_shrinks_on_the_way_is_an_error_and_not_a_short_answer(stored):
    response = get(stored)
    stored.write_bytes(b"short")
    with pytest.raises(OSError, match="announced length"):
        body(response)


def test_an_answer_that_nobody_reads_closes_its_file(stored):
    answers = [get(stored) for _ in range(10)]
    assert open_descriptors_of(stored) == 10
    for answer in answers:
        answer.close()
    assert open_descriptors_of(stored) == 0


def open_descriptors_of(path):
    links = Path("/proc/self/fd").iterdir()
    return sum(link.exists() and link.readlink() == path for link in links)
