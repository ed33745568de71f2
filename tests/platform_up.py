"""``cryocloud up`` and the commands of an operator for tests: real processes in a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from free_port import free_port


class Platform:
    """One ``cryocloud up``."""

    def __init__(
        self, home: Path, port: int, *arguments: str, walls: Sequence[str] = (), **settings: str
    ) -> None:
        self.home, self.port = home, port
        self.process = subprocess.Popen(
            [
                *walls,
                sys.executable,
                "-m",
                "cryocloud.client.cli",
                "up",
                "--home",
                str(home),
                "--port",
                str(port),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(settings),
        )

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=100) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def children(self) -> dict[str, int]:
        """Name and process id."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        commands = {int(pid): command_of(int(pid)) for pid in found}
        return {command[3]: pid for pid, command in commands.items() if "cryocloud.web" in command[:3]}

    def wait_ready(self) -> None:
        wait_for(lambda: answers(self, "/health/ready"))

    def stop(self) -> tuple[int, str, str]:
        self.process.terminate()
        out, error = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), error.decode()


def environment(settings: dict[str, str]) -> dict[str, str]:
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    return own | {"CRYOCLOUD_SAMPLE_DATA": "false"} | settings


def command_of(pid: int) -> list[str]:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return []


def answers(platform: Platform, path: str = "/health/live") -> bool:
    try:
        return platform.get(path)[0] == 200
    except OSError:
        assert platform.process.poll() is None, platform.process.communicate()
        return False


def wait_for(condition: Callable[[], object]) -> None:
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("did not come to be in 150 s")


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextmanager
def running(home: Path, *arguments: str, **settings: str) -> Iterator[Platform]:
    platform = Platform(home, free_port(), *arguments, **settings)
    try:
        yield platform
    finally:
        platform.process.terminate()
        platform.process.communicate(timeout=60)


def pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def operate(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cryocloud.client.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(settings), check=False, timeout=120
    )
