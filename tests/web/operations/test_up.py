"""The platform as an operator starts it: real processes in a home of their own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from free_port import free_port
from platform_up import Platform, alive, answers, environment, operate, pss_mib, running, wait_for

MEMORY_MIB_MAX = 400


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
        assert f"codes and other mails lie in {tmp_path}/home/mail" in out
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
        ({"CRYOCLOUD_ADDRESS": "https://cryo.example"}, "CRYOCLOUD_CONTROLLER: a platform that others reach"),
        ({"CRYOCLOUD_CONTACT": "nobody"}, "CRYOCLOUD_CONTACT"),
        ({"CRYOCLOUD_POLICY": "/nowhere"}, "belong together"),
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
                "INSERT INTO organizations_organization (id, created_at, name, state, state_since, trial_started_at) "
                "VALUES ('o1', '2026-01-01', 'Lab', 'trial', '2026-01-01', '2026-01-01')"
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


def test_it_refuses_to_start_without_the_walls_that_were_asked_for(tmp_path):
    """Somewhere without bubblewrap: a PATH that holds only the interpreter."""
    made = environment(
        {"CRYOCLOUD_HOME": str(tmp_path / "home"), "CRYOCLOUD_ISOLATION": "namespaces", "PATH": str(tmp_path)}
    )
    done = subprocess.run(
        [sys.executable, "-m", "cryocloud.web", "prepare"],
        env=made,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "bubblewrap is not installed" in done.stderr and "apt-get install bubblewrap" in done.stderr
