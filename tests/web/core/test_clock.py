"""A tester's clock: forward only, the same for all processes of a home, and nowhere where others are served."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from cryocloud.web.configuration import ConfigurationError, read_configuration
from cryocloud.web.core.clock import now
from cryocloud.web.seams.test_clock import ClockRefused, set_clock

ROOT = Path(__file__).parents[3]
SECONDS = timedelta(seconds=20)


def test_it_goes_on_from_the_moment_set(clock):
    moment = datetime(2031, 2, 28, 23, 59, tzinfo=UTC)
    clock.set(moment)
    first, second = now(), now()
    assert moment <= first < second < moment + SECONDS
    clock.forward(days=366)
    assert now() >= moment + timedelta(days=366)


def test_it_never_goes_back(clock):
    clock.forward(days=10)
    stands = now()
    with pytest.raises(ClockRefused, match="goes forward only"):
        set_clock(stands - timedelta(seconds=1))
    with pytest.raises(ClockRefused, match="no time zone"):
        set_clock(datetime(2040, 1, 1))
    assert now() >= stands


def test_without_the_seams_nobody_sets_it(home):
    with pytest.raises(ClockRefused, match="CRYOCLOUD_TEST_SEAMS=on"):
        set_clock(now() + timedelta(days=1))
    assert abs(now() - datetime.now(UTC)) < SECONDS


def test_all_processes_of_the_home_follow(tmp_path):
    assert _run(tmp_path, "set_clock", "2032-02-29T12:00:00Z").stdout == "2032-02-29 12:00:00 UTC\n"
    seen = _run(tmp_path, "shell", "-c", "from cryocloud.web.core.clock import now; print(now().isoformat())")
    assert seen.stdout.splitlines()[-1].startswith("2032-02-29T12:00:")
    back = _run(tmp_path, "set_clock", "2032-02-29T11:00:00Z")
    assert back.returncode == 1
    assert "goes forward only" in back.stderr
    assert "“tomorrow” is no moment" in _run(tmp_path, "set_clock", "tomorrow").stderr


@pytest.mark.parametrize(
    "public",
    [
        {
            "CRYOCLOUD_ADDRESS": "https://cryo.example",
            "CRYOCLOUD_CONTROLLER": "Lab",
            "CRYOCLOUD_CONTACT": "a@b.example",
        },
        {"CRYOCLOUD_ALLOWED_HOSTS": "cryo.example"},
    ],
    ids=["address", "further host"],
)
def test_a_public_address_does_not_start_with_it(tmp_path, public):
    with pytest.raises(ConfigurationError, match=r"at cryo\.example others reach this platform"):
        read_configuration({"CRYOCLOUD_TEST_SEAMS": "on", **public})
    started = _run(tmp_path, "up", **public)
    assert started.returncode == 2
    assert "CRYOCLOUD_TEST_SEAMS: at cryo.example" in started.stderr


def test_wheels_leave_it_out(monkeypatch):
    names = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert "cryocloud/web/core/clock.py" in names
    assert not [name for name in names if "/seams/" in name]
    monkeypatch.setattr("cryocloud.web.configuration.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="holds no test seams"):
        read_configuration({"CRYOCLOUD_TEST_SEAMS": "on"})


def _run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "cryocloud.web", *arguments],
        env={**ours, "CRYOCLOUD_HOME": str(home), "CRYOCLOUD_TEST_SEAMS": "on", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
