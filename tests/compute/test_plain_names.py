"""Folders of the server leave what jobs say, in a time that nobody can stretch."""

from __future__ import annotations

import time

import pytest

from cryocloud.compute.plain_names import PlainNames

OUT = "/srv/home/jobs/j4/a1/out"
NAMES = PlainNames({"/srv/home/datasets/d1/files": "Session 1", "/srv/home/jobs/j3/result": "job 3"}, OUT)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("../../../../datasets/d1/files/a.mrc: damaged", "Session 1/a.mrc: damaged"),
        ("../../../j3/result/particles.star is empty", "job 3/particles.star is empty"),
        (f"cannot read {OUT}/../../../j3/result/x.star", "cannot read job 3/x.star"),
        ("12@../../../../datasets/d1/files/s.mrcs", "12@Session 1/s.mrcs"),
        ("(../../../j3/result/a.star, '../../../j3/result/b.star')", "(job 3/a.star, 'job 3/b.star')"),
        (f"{OUT}/map.mrc", "map.mrc"),
        ("../raw/a.mrc", "../raw/a.mrc"),
    ],
)
def test_files_are_named_as_people_know_them(said: str, told: str) -> None:
    assert NAMES.clean(said) == told


@pytest.mark.parametrize(
    "part", ["../", "/../", "a/../", "/", "@/", "--a", " (cryocloud ", "../../datasets/"]
)
def test_no_text_takes_long(part: str) -> None:
    begun = time.perf_counter()
    NAMES.clean(part * 5000)
    NAMES.known_as(part * 5000)
    assert time.perf_counter() - begun < 1


def test_a_very_long_text_is_cut() -> None:
    assert len(NAMES.clean("a" * 100_000)) < 5000
