"""The platform as an operator starts it: real processes in a home of their own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from free_port import free_port

MEMORY_MIB_MAX = 400


class Platform:
    """One ``cryocloud up``."""

    def __init__(self, home: Path, port: int, *arguments: str, **settings: str) -> None:
        self.home, self.port = home, port
        self.process = subprocess.Popen(
            [
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
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
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
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("did not come to be within a minute")


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


def test_it_becomes_ready_says_where_it_is_and_ends_with_its_children(tmp_path):
    with running(tmp_path / "home") as platform:
        platform.wait_ready()
        children = platform.children()
        assert set(children) == {"serve", "scheduler", "worker"}
        assert platform.get("/")[0] == 200
        code, out, _ = platform.stop()
        assert code == 0
        assert f"http://127.0.0.1:{platform.port}/" in out
        assert "/first-admin/" in out
        assert not any(alive(pid) for pid in children.values())


def test_its_three_processes_take_less_than_400_mib(tmp_path):
    with running(tmp_path / "home") as platform:
        platform.wait_ready()
        for path in ("/", "/faq/", "/accounts/login/", "/api/v1/openapi.json"):
            assert platform.get(path)[0] == 200
        memory_mib = {name: pss_mib(pid) for name, pid in platform.children().items()}
        print(memory_mib)
        assert len(memory_mib) == 3
        assert sum(memory_mib.values()) < MEMORY_MIB_MAX, memory_mib


@pytest.mark.slow
def test_a_killed_process_comes_back(tmp_path):
    with running(tmp_path / "home") as platform:
        platform.wait_ready()
        for name in ("serve", "worker", "scheduler"):
            former = platform.children()[name]
            os.kill(former, signal.SIGKILL)
            wait_for(lambda name=name, former=former: platform.children().get(name, former) != former)
        platform.wait_ready()


@pytest.mark.slow
def test_a_request_waits_while_the_web_process_comes_back(tmp_path):
    with running(tmp_path / "home") as platform:
        platform.wait_ready()
        os.kill(platform.children()["serve"], signal.SIGKILL)
        wait_for(lambda: "serve" not in platform.children() or answers(platform))
        assert platform.get("/health/live")[0] == 200


def test_a_second_one_in_the_same_home_is_refused(tmp_path):
    with running(tmp_path / "home") as first:
        first.wait_ready()
        second = Platform(tmp_path / "home", free_port())
        _, error = second.process.communicate(timeout=60)
        assert second.process.returncode == 1
        assert "already runs in" in error.decode()
        assert first.get("/health/ready")[0] == 200


@pytest.mark.slow
def test_a_port_in_use_is_told(tmp_path):
    with running(tmp_path / "home") as first:
        first.wait_ready()
        second = Platform(tmp_path / "other", first.port)
        _, error = second.process.communicate(timeout=60)
        assert second.process.returncode == 1
        assert f"port {first.port}" in error.decode()
        assert "choose another --port" in error.decode()


@pytest.mark.slow
def test_when_it_is_killed_its_children_end_and_the_next_start_works(tmp_path):
    port = free_port()
    first = Platform(tmp_path / "home", port)
    wait_for(lambda: answers(first) and len(first.children()) == 3)
    children = first.children()
    first.process.kill()
    first.process.communicate()
    second = Platform(tmp_path / "home", port)
    try:
        wait_for(lambda: not any(alive(pid) for pid in children.values()))
        wait_for(lambda: len(second.children()) == 3)
        second.wait_ready()
    finally:
        assert second.stop()[0] == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"CRYOCLOUD_SLOTS": "many"}, "CRYOCLOUD_SLOTS"),
        ({"CRYOCLOUD_SLOT": "1"}, "CRYOCLOUD_SLOT"),
        ({"CRYOCLOUD_ADDRESS": "cryo.example"}, "CRYOCLOUD_ADDRESS"),
        ({"CRYOCLOUD_HOME": "/proc/nothing"}, "choose another --home"),
    ],
)
def test_settings_that_cannot_be_used_are_told_in_one_line(settings, words):
    command = [sys.executable, "-m", "cryocloud.web", "up"]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment(settings), check=False, timeout=60
    )
    assert ended.returncode in (1, 2)
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_damaged_database_is_told(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "db.sqlite3").write_bytes(b"this is no database" * 100)
    platform = Platform(home, free_port())
    _, error = platform.process.communicate(timeout=60)
    assert platform.process.returncode == 1
    assert "file is not a database" in error.decode()


def test_logs_are_json_without_query_strings_or_secrets(tmp_path):
    with running(tmp_path / "home", "--log-to-stderr") as platform:
        platform.wait_ready()
        platform.get("/accounts/login/?next=/hidden-in-the-query/")
        platform.get("/first-admin/a-guessed-secret/")
        code, out, error = platform.stop()
    assert code == 0
    lines = [json.loads(line) for line in error.splitlines()]
    asked = [line for line in lines if line["event"] == "request"]
    assert {"method", "route", "status", "ms", "request_id"} <= asked[0].keys()
    assert "first-admin/<str:secret>/" in {line["route"] for line in asked}
    assert "hidden-in-the-query" not in error
    assert "a-guessed-secret" not in error
    assert out.split("/first-admin/")[1].split("/")[0] not in error


@pytest.mark.slow
def test_backup_restore_and_on(tmp_path):
    home, kept, fresh = (tmp_path / name for name in ("home", "kept", "fresh"))
    with running(home) as platform:
        platform.wait_ready()
        with closing(sqlite3.connect(home / "db.sqlite3", timeout=20)) as live:
            live.execute(
                "INSERT INTO organizations_organization (id, created_at, name, state, trial_started_at) "
                "VALUES ('o1', '2026-01-01', 'Lab', 'trial', '2026-01-01')"
            )
            live.commit()
        assert operate("backup", str(kept), "--home", str(home)).returncode == 0
    restored = operate("restore", str(kept), "--home", str(fresh))
    assert restored.returncode == 0, restored.stderr
    again = operate("restore", str(kept), "--home", str(fresh))
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    with running(fresh) as platform:
        platform.wait_ready()
        with closing(sqlite3.connect(fresh / "db.sqlite3")) as copy:
            assert copy.execute("SELECT name FROM organizations_organization").fetchall() == [("Lab",)]
        assert (fresh / "secret-key").read_bytes() == (home / "secret-key").read_bytes()


def operate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cryocloud.client.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment({}), check=False, timeout=120
    )
