"""The platform on PostgreSQL as an operator runs it: start, a job, backup, restore, and what cannot be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cryocloud.client.demo_platform import running_platform, sign_up
from cryocloud.client.mail_sink import mail_sink
from cryocloud.web.configuration import ConfigurationError, read_configuration
from cryocloud.web.core.database_address import database_settings
from platform_client import api_of, finished_job
from platform_up import environment, operate

SECRET = "not-to-be-told"


def test_a_job_runs_to_its_end_and_a_backup_is_made(new_database, tmp_path):
    home, settings = tmp_path / "home", new_database()
    with mail_sink() as sink, running_platform(home, sink, settings) as address:
        finished_job(address, sign_up(address, sink))
        said = operate("backup", str(tmp_path / "kept"), "--home", str(home), **settings)
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "kept/files/database.dump").exists()
    assert not (home / "db.sqlite3").exists()
    assert [text for text in [*_logs(home), said.stderr] if _password(settings) in text] == []


@pytest.mark.slow
def test_what_was_backed_up_is_there_after_a_restore(new_database, tmp_path):
    home, kept, fresh, third = (tmp_path / name for name in ("home", "kept", "fresh", "third"))
    first, second = new_database(), new_database()
    with mail_sink() as sink:
        with running_platform(home, sink, first) as address:
            secret = sign_up(address, sink)
            job = finished_job(address, secret)
            assert operate("backup", str(kept), "--home", str(home), **first).returncode == 0
        restored = operate("restore", str(kept), "--home", str(fresh), **second)
        assert restored.returncode == 0, restored.stderr
        with running_platform(fresh, sink, second) as address, api_of(address, secret) as api:
            assert api.get(f"/jobs/{job}").json()["number"] == 1
            artifacts = api.get(f"/jobs/{job}/artifacts").json()["items"]
            assert any(one["path"].endswith(".mrc") for one in artifacts)
    again = operate("restore", str(kept), "--home", str(third), **second)
    assert again.returncode == 1 and "is not empty" in again.stderr
    other = operate("restore", str(kept), "--home", str(third))
    assert other.returncode == 1 and "set CRYOCLOUD_DATABASE" in other.stderr


def _logs(home: Path) -> list[str]:
    return [path.read_text() for path in (home / "logs").iterdir()]


def _password(settings: dict[str, str]) -> str:
    return settings["CRYOCLOUD_DATABASE"].split(":")[2].split("@")[0]


def test_a_backup_without_the_programs_of_the_server_is_refused_in_plain_words(new_database, tmp_path):
    settings = new_database() | {"PATH": str(tmp_path)}
    said = operate("backup", str(tmp_path / "kept"), "--home", str(tmp_path / "home"), **settings)
    assert said.returncode == 1
    assert "pg_dump is not on the PATH; install" in said.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://cryocloud:{secret}@/{name}?host={folder}", "does not let the user “cryocloud” in"),
        ("postgresql://cryocloud:{right}@/nothing?host={folder}", "has no database “nothing”"),
        ("postgresql://cryocloud:{secret}@127.0.0.1:1/x", "127.0.0.1:1 cannot be used"),
    ],
)
def test_a_server_that_cannot_be_used_is_told_with_the_remedy(postgres, tmp_path, url, words):
    given = url.format(secret=SECRET, right=postgres.password, name="postgres", folder=postgres.folder)
    told = subprocess.run(
        [sys.executable, "-m", "cryocloud.web", "prepare"],
        capture_output=True,
        text=True,
        env=environment({"CRYOCLOUD_DATABASE": given, "CRYOCLOUD_HOME": str(tmp_path / "home")}),
        check=False,
        timeout=60,
    )
    assert told.returncode == 1
    assert words in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert SECRET not in told.stderr and postgres.password not in told.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://me:not-to-be-told@db/x", "write it as postgresql://"),
        ("postgresql://me:not-to-be-told@db", "write it as postgresql://"),
        ("postgresql://:not-to-be-told@db/x", "write it as postgresql://"),
        ("postgresql://me:not-to-be-told@db:port/x", "write it as postgresql://"),
        ("postgresql://me:not-to-be-told@db/x/y", "write it as postgresql://"),
        ("postgresql://me:not-to-be-told@db/x?ssl=on", "the parameter “ssl” is not known"),
    ],
)
def test_an_address_that_cannot_be_read_is_told_without_the_password(url, words):
    site = read_configuration({"CRYOCLOUD_DATABASE": url})
    assert SECRET not in repr(site)
    with pytest.raises(ConfigurationError, match="CRYOCLOUD_DATABASE") as refusal:
        database_settings(site)
    assert words in str(refusal.value) and SECRET not in str(refusal.value)


def test_an_address_is_read_in_all_its_parts():
    url = "postgresql://me%40lab:p%2Fq%3A@db.lab.example:6432/cryo%20em?sslmode=verify-full"
    found = database_settings(read_configuration({"CRYOCLOUD_DATABASE": url}))
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]) == (
        "me@lab",
        "p/q:",
        "db.lab.example",
        "6432",
        "cryo em",
    )
    assert found["OPTIONS"]["sslmode"] == "verify-full"
