"""Archives that are made while they are sent."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import tracemalloc
import warnings
import zipfile

import pytest
from django.test import RequestFactory

from cryocloud.web.core.errors import NotFound
from cryocloud.web.core.zip_stream import ZipMember, zip_response


def member(folder, name, content):
    path = folder / hashlib.sha256(name.encode()).hexdigest()
    path.write_bytes(content)
    return ZipMember(name, path, len(content), hashlib.sha256(content).hexdigest())


def answer(members, method="GET"):
    return zip_response(RequestFactory().generic(method, "/"), members, name="job 7.zip")


def body(response):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return b"".join(response)


def test_every_tool_reads_the_archive_and_its_checksums(tmp_path):
    draw = random.Random(0)
    contents = {
        "map.mrc": draw.randbytes(3_000_000),
        "plots/Größe.png": b"png",
        "empty.star": b"",
        "a b/c.txt": b"x" * 70_000,
    }
    response = answer([member(tmp_path, name, content) for name, content in contents.items()])
    archive = body(response)
    assert len(archive) == int(response["Content-Length"])
    assert response["Content-Disposition"] == 'attachment; filename="job 7.zip"'
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in contents} == contents
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "a.zip").write_bytes(archive)
    subprocess.run(["python3", "-m", "zipfile", "-e", tmp_path / "a.zip", out], check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=out, check=True)


def test_equal_files_give_equal_archives(tmp_path):
    files = [member(tmp_path, "a", b"1"), member(tmp_path, "b", b"2")]
    assert body(answer(files)) == body(answer(files))


def test_the_length_is_exact_for_many_members(tmp_path):
    one = member(tmp_path, "x", b"content")
    many = [ZipMember(f"{i:05d}é", one.path, one.size_bytes, one.sha256) for i in range(300)]
    response = answer(many)
    assert len(body(response)) == int(response["Content-Length"])
    assert answer([])["Content-Length"] == str(len(body(answer([]))))


def test_memory_does_not_grow_with_the_files(tmp_path):
    files = [member(tmp_path, name, bytes(40_000_000)) for name in "ab"]
    response = answer(files)
    tracemalloc.start()
    pieces = response.streaming_content
    import asyncio

    async def count():
        return sum([len(piece) async for piece in pieces])

    assert asyncio.run(count()) == int(response["Content-Length"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


def test_a_file_that_was_changed_breaks_the_download_off(tmp_path):
    file = member(tmp_path, "map.mrc", b"true content")
    file.path.write_bytes(b"fake content")
    with pytest.raises(OSError, match=r"map\.mrc"):
        body(answer([file]))
    file.path.write_bytes(b"true")
    with pytest.raises(OSError, match=r"map\.mrc"):
        body(answer([file]))


def test_a_missing_file_or_a_link_is_told_before_anything_is_sent(tmp_path):
    file = member(tmp_path, "map.mrc", b"content")
    secret = tmp_path / "secret"
    secret.write_bytes(b"content")
    file.path.unlink()
    with pytest.raises(NotFound):
        answer([file])
    file.path.symlink_to(secret)
    with pytest.raises(NotFound):
        answer([file])


@pytest.mark.parametrize("name", ["../up", "/root", "a/../../b", "", "a\\..\\b", "SHA256SUMS"])
def test_names_that_leave_the_folder_are_never_written(tmp_path, name):
    with pytest.raises(ValueError):
        answer([member(tmp_path, name, b"")])


def test_head_tells_the_length_and_sends_nothing(tmp_path):
    files = [member(tmp_path, "a", b"1")]
    response = answer(files, "HEAD")
    assert response.content == b""
    assert int(response["Content-Length"]) == len(body(answer(files)))


@pytest.mark.slow
def test_archives_beyond_the_limits_of_32_bits_are_whole(tmp_path):
    size = 2**31 + 5
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(size)
    digest = hashlib.sha256()
    for _ in range(2**31 // 2**20):
        digest.update(bytes(2**20))
    digest.update(bytes(5))
    large = ZipMember("large.mrc", path, size, digest.hexdigest())
    response = answer([large, member(tmp_path, "after.txt", b"after")])

    import asyncio

    async def write():
        with (tmp_path / "large.zip").open("wb") as stream:
            async for piece in response.streaming_content:
                stream.write(piece)

    asyncio.run(write())
    assert (tmp_path / "large.zip").stat().st_size == int(response["Content-Length"])
    with zipfile.ZipFile(tmp_path / "large.zip") as read:
        assert read.getinfo("large.mrc").file_size == size
        assert read.read("after.txt") == b"after"
