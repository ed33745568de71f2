"""A disk that is really full: a plain message, the right code, and nothing lost."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB, which only root can mount."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass
    return filler


def test_full_disk_is_said_plainly_and_the_job_goes_on_afterwards(cryocloud, start, wait_until, small_disk):
    out = small_disk / "o"
    command = ("run", "counting", "--steps", 30, "--step-s", 0.1, "--out", out)
    process = start(*command)
    wait_until((out / ".checkpoint/checkpoint.npz").exists)
    filler = fill(small_disk)
    assert process.wait(timeout=60) == 1
    assert "disk full" in process.stderr.read()
    assert (out / ".checkpoint/checkpoint.npz").stat().st_size > 0
    filler.unlink()
    again = cryocloud(*command)
    assert again.returncode == 0, again.stderr
    assert "going on from step" in (out / "log.txt").read_text()
    assert (out / "sum.txt").read_text() == "30.0\n"


def test_disk_that_is_full_from_the_start_is_said_plainly(cryocloud, small_disk):
    fill(small_disk)
    ended = cryocloud("run", "counting", "--steps", 3, "--out", small_disk / "o")
    assert ended.returncode == 1
    assert "disk full" in ended.stderr
    assert "Traceback" not in ended.stderr
