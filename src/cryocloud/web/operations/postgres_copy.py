"""A database of PostgreSQL as a file and back, by the server's own programs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection, transaction

from cryocloud.web.operations.manifest import BackupError

# libpq's names for what Django calls otherwise. The password is in no command line, where others would see it.
_VARIABLES = {
    "PGHOST": "HOST",
    "PGPORT": "PORT",
    "PGUSER": "USER",
    "PGPASSWORD": "PASSWORD",
    "PGDATABASE": "NAME",
}
_OPTIONS = {
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
}


@contextmanager
def one_moment() -> Iterator[str]:
    """A transaction that sees the database as it is now, and the name under which ``pg_dump`` sees the same."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        yield cursor.fetchone()[0]


def dump(target: Path, moment: str, *, without_rows_of: tuple[str, ...]) -> None:
    left_out = [f"--exclude-table-data={name}" for name in without_rows_of]
    _run("pg_dump", "--format=custom", f"--snapshot={moment}", f"--file={target}", "--no-owner", *left_out)


def require_empty() -> None:
    """A restore goes into a database of its own."""
    if connection.introspection.table_names():
        raise BackupError(
            f"the database “{connection.settings_dict['NAME']}” is not empty; make a new one and name it in "
            "CRYOCLOUD_DATABASE"
        )


def load(source: Path) -> None:
    """All of it or nothing."""
    name = str(connection.settings_dict["NAME"])
    _run("pg_restore", "--single-transaction", "--no-owner", "--no-acl", f"--dbname={name}", str(source))


def _run(program: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=False, env=_environment()
        )
    except FileNotFoundError:
        raise BackupError(
            f"{program} is not on the PATH; install the programs of PostgreSQL (apt-get install postgresql-client) in "
            "the server's version or newer"
        ) from None
    if done.returncode:
        raise BackupError(f"{program}: {done.stderr.strip() or f'ended with {done.returncode}'}")


def _environment() -> dict[str, str]:
    given = connection.settings_dict
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ
    }
    named = {name: str(given[key]) for name, key in _VARIABLES.items() if given[key]}
    return kept | named | {n: str(given["OPTIONS"][k]) for n, k in _OPTIONS.items() if k in given["OPTIONS"]}
