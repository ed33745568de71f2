"""Checks before work."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryocloud.catalog.base import Forecast
from cryocloud.engine.errors import InputError
from cryocloud.jobs.kit import preflight


def test_files_of_a_path_a_folder_and_a_pattern(tmp_path):
    for name in ("b.mrc", "a.mrc", "notes.txt"):
        (tmp_path / name).touch()
    names = [tmp_path / "a.mrc", tmp_path / "b.mrc"]
    assert preflight.find_files(tmp_path, suffixes=(".mrc",)) == names
    assert preflight.find_files(tmp_path / "*.mrc", suffixes=(".mrc",)) == names
    assert preflight.find_files(tmp_path / "notes.txt", suffixes=(".mrc",)) == [tmp_path / "notes.txt"]
    with pytest.raises(InputError, match=r"holds no \.tif or \.eer file"):
        preflight.find_files(tmp_path, suffixes=(".tif", ".eer"))


@pytest.mark.parametrize("value", [0.0, 0.05, 31.0, -1.5, float("nan"), float("inf")])
def test_implausible_pixel_sizes(value):
    with pytest.raises(InputError, match="--pixel-size-angstrom"):
        preflight.require_pixel_size(value, "header")


def test_pixel_sizes_within_one_percent_agree():
    assert not preflight.pixel_sizes_differ(1.5, 1.514)
    assert preflight.pixel_sizes_differ(1.5, 1.52)


def test_shapes():
    assert preflight.most_common_shape([(2, 3), (4, 5), (4, 5), (2, 3), (4, 5)]) == (4, 5)
    assert preflight.most_common_shape([(2, 3), (4, 5)]) == (2, 3)
    preflight.require_equal_shapes([("half 1", (4, 4, 4)), ("half 2", (4, 4, 4))])
    with pytest.raises(InputError, match="mask: 6 x 5 x 4 px, but half 1: 4 x 4 x 4 px"):
        preflight.require_equal_shapes([("half 1", (4, 4, 4)), ("mask", (4, 5, 6))])


def test_disk_space(tmp_path):
    preflight.require_disk_space(tmp_path, 1e3)
    with pytest.raises(InputError, match=r"about 1e\+06 GB will be written.*choose another --out"):
        preflight.require_disk_space(tmp_path, 1e15)


def test_memory_forecast(tmp_path):
    preflight.require_resources(Forecast(memory_bytes=1e6, disk_bytes=0, cpu_s=1), tmp_path)
    with pytest.raises(InputError, match="of memory will be needed"):
        preflight.require_resources(Forecast(memory_bytes=1e15, disk_bytes=0, cpu_s=1), tmp_path)


@pytest.mark.parametrize(("limit", "left"), [("max", 8.0), ("6000000000", 3.5), ("60000000000", 8.0)])
def test_a_container_may_have_less_than_the_machine(tmp_path: Path, monkeypatch, limit, left):
    """8 GB are free on the machine; of a limit of 6 GB, 3 are used and half a GB of these is cache."""
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 7812500 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("3000000000\n")
    (tmp_path / "memory.stat").write_text("anon 2500000000\ninactive_file 500000000\n")
    monkeypatch.setattr(preflight, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(preflight, "_CGROUP", tmp_path)
    assert preflight.available_memory_bytes() == pytest.approx(left * 1e9)
