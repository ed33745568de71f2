"""Names inside files: where they lead, and that nothing outside the readable places is ever looked at."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.name_gate import (
    find_named_file,
    is_readable_file,
    named_file,
    require_readable,
    restrict_names,
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Data of two tenants; names may lead to the first, which has a link to its neighbor and one to itself."""
    for tenant in ("own", "other"):
        folder = tmp_path / "datasets" / tenant / "files"
        (folder / "sub").mkdir(parents=True)
        (folder / "m.mrc").write_bytes(b"pixels")
        (folder / "sub" / "n.mrc").write_bytes(b"pixels")
    own = tmp_path / "datasets" / "own" / "files"
    (own / "to_neighbor").symlink_to(tmp_path / "datasets" / "other")
    (own / "neighbor.mrc").symlink_to("../../other/files/m.mrc")
    (own / "itself.mrc").symlink_to("sub/../m.mrc")
    (own / "loop").symlink_to("loop")
    (own / "sub" / "up").symlink_to("..")
    restrict_names([own])
    yield tmp_path
    restrict_names(None)


def own(home: Path) -> Path:
    return home / "datasets" / "own" / "files"


def follow(home: Path, name: str) -> Path:
    return named_file(own(home), name, label="_rlnMicrographName", row=3)


def test_without_a_restriction_names_count_from_the_table_then_from_the_working_directory(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Import"
    folder.mkdir()
    (tmp_path / "m.mrc").touch()
    assert named_file(folder, "m.mrc", label="_x", row=1) == tmp_path / "m.mrc"
    (folder / "m.mrc").touch()
    assert named_file(folder, "m.mrc", label="_x", row=1) == folder / "m.mrc"
    assert named_file(folder, "none.mrc", label="_x", row=1) == folder / "none.mrc"
    assert find_named_file(folder, "none.mrc") is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("m.mrc", "m.mrc"),
        ("./sub//n.mrc", "sub/n.mrc"),
        ("sub/../m.mrc", "m.mrc"),
        ("itself.mrc", "m.mrc"),
        ("sub/up/sub/up/m.mrc", "m.mrc"),
        ("../../own/files/m.mrc", "m.mrc"),
        ("none.mrc", "none.mrc"),
        ("none/none.mrc", "none/none.mrc"),
        ("%2e%2e/m.mrc", "%2e%2e/m.mrc"),
        ("..\\..\\m.mrc", "..\\..\\m.mrc"),
    ],
)
def test_names_below_the_readable_places_are_followed(home, name, found):
    assert follow(home, name) == own(home) / found


def test_absolute_names_may_lead_to_readable_places(home):
    assert follow(home, str(own(home) / "m.mrc")) == own(home) / "m.mrc"


OUTSIDE = (
    "../../other/files/m.mrc", "../../other/files/none.mrc", "../../none/m.mrc", "..", "../../..", "/", "/etc/passwd",
    "/proc/self/environ", "neighbor.mrc", "to_neighbor/files/m.mrc", "to_neighbor/files/none.mrc", "sub/up/../m.mrc",
    "sub/../../../other/files/m.mrc", "sub/up/to_neighbor/files/m.mrc", "../../other/../own/files/m.mrc", "loop",
    "loop/m.mrc", "none/../../m.mrc",
)  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_outside_are_refused_in_the_same_words(home, name):
    with pytest.raises(InputError) as refused:
        follow(home, name)
    assert str(refused.value) == (
        "_rlnMicrographName in row 3 names a file outside the inputs of this job; put the file into the dataset of "
        "the table, and name it as it lies from the table's folder"
    )
    assert find_named_file(own(home), name) is None
    assert not is_readable_file(own(home) / name)
    with pytest.raises(InputError, match="leads outside the inputs of this job"):
        require_readable(own(home) / name)


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_outside_is_looked_at(home, name, monkeypatch):
    looked_at: list[str] = []
    for call in ("stat", "lstat", "readlink", "open", "access", "listdir", "scandir"):
        original = getattr(os, call)

        def noting(path, *arguments, _original=original, **options):
            looked_at.append(os.fspath(path))
            return _original(path, *arguments, **options)

        monkeypatch.setattr(os, call, noting)
    with pytest.raises(InputError):
        follow(home, name)
    assert not is_readable_file(own(home) / name)
    assert [path for path in looked_at if not path.startswith(f"{own(home)}/")] == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "an empty file name"),
        ("m\0.mrc", "control character"),
        ("m\n.mrc", "control character"),
        ("m\x7f.mrc", "control character"),
        ("m\udcff.mrc", "not Unicode text"),
        ("a/" * 3000 + "m.mrc", "6,005 characters"),
        ("ä" * 200, "200 characters"),
    ],
)
def test_names_that_no_file_can_have_are_told_as_such(home, name, reason):
    for readable in ([own(home)], None):
        restrict_names(readable)
        with pytest.raises(InputError, match=f"_rlnMicrographName in row 3 has .*{reason}"):
            follow(home, name)
        assert find_named_file(own(home), name) is None


def test_readable_places_may_be_reached_by_links_and_may_be_single_files(home):
    (home / "linked").symlink_to(home / "datasets")
    restrict_names([home / "linked" / "own" / "files" / "sub", home / "linked" / "other" / "files" / "m.mrc"])
    linked = home / "linked" / "own" / "files"
    assert named_file(linked / "sub", "n.mrc", label="_x", row=1) == own(home) / "sub" / "n.mrc"
    assert is_readable_file(own(home) / "sub" / "n.mrc")
    assert not is_readable_file(linked / "m.mrc")
    assert is_readable_file(home / "datasets" / "other" / "files" / "m.mrc")
    assert not is_readable_file(home / "datasets" / "other" / "files" / "sub" / "n.mrc")


def test_the_time_of_a_refusal_does_not_tell_what_is_there(home):
    """Interleaved, so that a busy machine slows both alike; a look at the disk would cost more than half of it."""
    names = {"there": "../../other/files/m.mrc", "absent": "../../none/files/m.mrc", "linked": "neighbor.mrc"}
    (own(home) / "absent.mrc").symlink_to("../../none/files/m.mrc")
    names["linked to nothing"] = "absent.mrc"
    times_ns: dict[str, list[int]] = {kind: [] for kind in names}
    for _ in range(1500):
        for kind, name in names.items():
            began_ns = time.perf_counter_ns()
            find_named_file(own(home), name)
            times_ns[kind].append(time.perf_counter_ns() - began_ns)
    median_ns = {kind: statistics.median(times) for kind, times in times_ns.items()}
    assert median_ns["there"] == pytest.approx(median_ns["absent"], rel=0.25)
    assert median_ns["linked"] == pytest.approx(median_ns["linked to nothing"], rel=0.25)
