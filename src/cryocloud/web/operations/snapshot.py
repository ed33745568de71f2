"""A copy of the database at one moment, and which files it speaks of."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection

from cryocloud.web.data.models import Dataset, StoredObject
from cryocloud.web.operations import postgres_copy
from cryocloud.web.operations.manifest import BackupError
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt

SQLITE, DUMP = "db.sqlite3", "database.dump"
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Contents:
    """``checksums`` by path in the home: what must be in a backup. The rest decides which folders belong to it."""

    checksums: dict[str, str]
    dataset_ids: frozenset[str]
    ended_attempt_ids: frozenset[str]


def database_copy() -> str:
    """The name of the database's copy in a backup, and of SQLite's file in a home."""
    return SQLITE if connection.vendor == "sqlite" else DUMP


def copy_database(target: Path) -> Contents:
    """As it is at one moment, while others write. Sessions stay out: one that is closed later must not come back."""
    target.unlink(missing_ok=True)
    sessions = tuple(model._meta.db_table for model in (Session, UserSession))
    if connection.vendor == "sqlite":
        return _copy_file(Path(connection.settings_dict["NAME"]), target, sessions)
    with postgres_copy.one_moment() as moment:
        postgres_copy.dump(target, moment, without_rows_of=sessions)
        return _contents(_rows)


def _copy_file(source: Path, target: Path, sessions: tuple[str, ...]) -> Contents:
    """SQLite's online backup."""
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        for table in sessions:
            copy.execute(f"DELETE FROM {table}")
        copy.commit()
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise BackupError(f"the database is damaged: {verdict}")
        return _contents(copy.execute)


def _rows(question: str) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return list(cursor.fetchall())


def _contents(ask: Callable[[str], Iterable[Row]]) -> Contents:
    objects = ask(f"SELECT key, sha256 FROM {StoredObject._meta.db_table}")
    checksums = {f"blobs/{key[:2]}/{key}": sha256 for key, sha256 in objects}
    artifacts = ask(f"SELECT job_id, attempt_id, path, sha256 FROM {Artifact._meta.db_table}")
    checksums |= {f"results/{job}/{attempt}/{path}": sha256 for job, attempt, path, sha256 in artifacts}
    datasets = ask(f"SELECT id FROM {Dataset._meta.db_table}")
    states = ",".join(f"'{state}'" for state in Attempt.OPEN)
    ended = ask(f"SELECT id FROM {Attempt._meta.db_table} WHERE state NOT IN ({states})")
    return Contents(
        checksums, frozenset(one for (one,) in datasets), frozenset(attempt for (attempt,) in ended)
    )
