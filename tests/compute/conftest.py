"""The command line with a job type that does little and goes wrong on demand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAKE_JOB_TYPES = Path(__file__).parent / "fake_job_types"


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    others = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(FAKE_JOB_TYPES), others)))}


@pytest.fixture
def cryocloud(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command to its end in ``tmp_path``."""

    def call(*arguments: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cryocloud.client.cli", *map(str, arguments)]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )

    return call


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command and return its process."""

    def call(*arguments: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cryocloud.client.cli", *map(str, arguments)]
        return subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)

    return call


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 150.0) -> None:
    """Wait for something that another process does."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the other process did not get there"
        time.sleep(0.05)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    return wait_until
