"""As docs/operations/platform.md tells it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cryocloud.client.demo_platform import running_platform, sign_up
from cryocloud.client.mail_sink import mail_sink
from platform_client import api_of, finished_job
from platform_up import environment

MANUAL = Path(__file__).parents[3] / "docs/operations/platform.md"


def _commands() -> list[list[str]]:
    """Those between “From SQLite” and the next section, but for the start."""
    text = MANUAL.read_text().split("**From SQLite.**")[1].split("\n## ")[0].replace("\\\n", " ")
    lines = re.findall(r"^    (python -m cryocloud\.web .*)$", text, re.MULTILINE)
    return [shlex.split(line)[3:] for line in lines]


@pytest.mark.slow
def test_what_was_in_sqlite_is_in_postgres(new_database, tmp_path):
    home, settings = tmp_path / "home", new_database()
    with mail_sink() as sink:
        with running_platform(home, sink, {}) as address:
            secret = sign_up(address, sink)
            job = finished_job(address, secret)
            with api_of(address, secret) as api:
                before = api.get(f"/jobs/{job}").json()
        commands = _commands()
        assert [command[0] for command in commands] == ["dumpdata", "migrate", "loaddata"]
        for command in commands:
            given = {} if command[0] == "dumpdata" else settings
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "cryocloud.web",
                    *(w.replace("/srv/cryocloud", str(home)) for w in command),
                ],
                capture_output=True,
                text=True,
                env=environment(given),
                cwd=tmp_path,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
        (home / "db.sqlite3").unlink()
        with running_platform(home, sink, settings) as address, api_of(address, secret) as api:
            assert api.get(f"/jobs/{job}").json() == before
            assert finished_job(address, secret) != job
