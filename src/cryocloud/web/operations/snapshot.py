"""A copy of the database at one moment, and which files it speaks of."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session

from cryocloud.web.data.models import Dataset, StoredObject
from cryocloud.web.operations.manifest import BackupError
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt


@dataclass(frozen=True)
class Contents:
    """``checksums`` by path in the home: what must be in a backup. The rest decides which folders belong to it."""

    checksums: dict[str, str]
    dataset_ids: frozenset[str]
    ended_attempt_ids: frozenset[str]


def copy_database(source: Path, target: Path) -> Contents:
    """SQLite's online backup: consistent while others write."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        for model in (Session, UserSession):  # one that is closed later must not come back
            copy.execute(f"DELETE FROM {model._meta.db_table}")
        copy.commit()
        verdict = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise BackupError(f"the database is damaged: {verdict}")
        return _contents(copy)


def _contents(database: sqlite3.Connection) -> Contents:
    objects = database.execute(f"SELECT key, sha256 FROM {StoredObject._meta.db_table}")
    checksums = {f"blobs/{key[:2]}/{key}": sha256 for key, sha256 in objects}
    artifacts = database.execute(f"SELECT job_id, attempt_id, path, sha256 FROM {Artifact._meta.db_table}")
    checksums |= {f"results/{job}/{attempt}/{path}": sha256 for job, attempt, path, sha256 in artifacts}
    datasets = database.execute(f"SELECT id FROM {Dataset._meta.db_table}")
    states = ",".join(f"'{state}'" for state in Attempt.OPEN)
    ended = database.execute(f"SELECT id FROM {Attempt._meta.db_table} WHERE state NOT IN ({states})")
    return Contents(
        checksums, frozenset(one for (one,) in datasets), frozenset(attempt for (attempt,) in ended)
    )
