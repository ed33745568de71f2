"""Backup and restore of a home: the database at one moment, and every file that it speaks of.

The platform may run meanwhile: files at rest are never written again. Files that vanish during the backup because
somebody purged them make it take the database anew. Transfers and attempts in progress are left out: an upload begins
again, a job that ran begins again by itself after a restore.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cryocloud import __version__
from cryocloud.web.audit.tombstones import tombstone_file
from cryocloud.web.configuration import KEY_FILE
from cryocloud.web.core.clock import now
from cryocloud.web.operations import postgres_copy
from cryocloud.web.operations.home import make_home
from cryocloud.web.operations.manifest import (
    FILES,
    BackupError,
    Entry,
    file_sha256,
    read_manifest,
    write_manifest,
)
from cryocloud.web.operations.snapshot import DUMP, SQLITE, Contents, copy_database, database_copy

TRIES = 3
RECORD_BYTES_MAX = 2**24
"""Larger files of an ended attempt are its half-made outputs, not its records."""


def back_up(home: Path, target: Path) -> list[Entry]:
    """Fill ``target``, which must be new or empty. Hard links where the file system allows it, else copies."""
    if target.is_relative_to(home):
        raise BackupError(
            f"{target} lies inside the home {home}; choose a folder outside, best on another disk"
        )
    if target.exists() and any(target.iterdir()):
        raise BackupError(f"{target} is not empty; choose a new folder")
    (target / FILES).mkdir(parents=True, mode=0o700)
    target.chmod(0o700)
    for _ in range(TRIES):
        contents = copy_database(target / FILES / database_copy())
        entries = list(_keep_all(home, target / FILES, contents))
        missing = contents.checksums.keys() - {entry.path for entry in entries}
        if not missing:
            break
    else:
        raise BackupError(
            f"{home / min(missing)} is missing, and {len(missing) - 1} other files; take them from an older backup"
        )
    _refuse_wrong_contents(home, contents, entries)
    entries.append(_entry(target / FILES, database_copy()))
    write_manifest(
        target, entries, made_at=now().isoformat(), version=__version__, removals=str(tombstone_file())
    )
    os.sync()
    return entries


def restore(source: Path, home: Path) -> list[Entry]:
    """Fill ``home``, which must be new or empty. The database comes last: without it there is no home."""
    entries = read_manifest(source)
    _require_same_kind(entries)
    if home.exists() and any(home.iterdir()):
        raise BackupError(f"{home} is not empty; restore into a new folder and start the platform there")
    make_home(home)
    try:
        for entry in sorted(entries, key=lambda entry: (entry.path == database_copy(), bool(entry.same_as))):
            _put_back(source / FILES, home, entry)
    except BackupError:
        for child in home.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        raise
    os.sync()
    return entries


def _keep_all(home: Path, kept: Path, contents: Contents) -> Iterator[Entry]:
    """One entry for each file that belongs to the backup; links to a file that is kept already become references."""
    first_paths: dict[int, str] = {}
    for path in _wanted(home, contents):
        try:
            inode = (home / path).stat().st_ino
            if inode in first_paths:
                size_bytes = (home / path).stat().st_size
                yield Entry(
                    path, size_bytes, contents.checksums.get(first_paths[inode], ""), first_paths[inode]
                )
                continue
            if path.startswith("datasets/"):
                continue  # of a file that arrived after the database was copied
            _link_or_copy(home / path, kept / path)
        except FileNotFoundError:
            continue  # purged meanwhile; what the database speaks of is missed by the caller
        first_paths[inode] = path
        yield _entry(kept, path)


def _wanted(home: Path, contents: Contents) -> Iterator[str]:
    yield from (path for path in sorted(contents.checksums) if path.startswith("blobs/"))
    for dataset_id in sorted(contents.dataset_ids):
        yield from _files_below(home, f"datasets/{dataset_id}")
        yield from _files_below(home, f"previews/{dataset_id}")
    for path in _files_below(home, "results"):
        if path.split("/")[2] in contents.ended_attempt_ids:
            yield path
    for attempt_id in sorted(contents.ended_attempt_ids):
        for file in sorted((home / "attempts" / attempt_id).glob("*")):
            if file.is_file() and not file.is_symlink() and file.stat().st_size <= RECORD_BYTES_MAX:
                yield file.relative_to(home).as_posix()
    if (home / KEY_FILE).exists():
        yield KEY_FILE


def _files_below(home: Path, folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(home / folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if not path.is_symlink():
                yield path.relative_to(home).as_posix()


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def _entry(kept: Path, path: str) -> Entry:
    return Entry(path, (kept / path).stat().st_size, file_sha256(kept / path))


def _refuse_wrong_contents(home: Path, contents: Contents, entries: list[Entry]) -> None:
    wrong = [
        entry.path for entry in entries if contents.checksums.get(entry.path, entry.sha256) != entry.sha256
    ]
    if wrong:
        raise BackupError(
            f"{home / wrong[0]} and {len(wrong) - 1} other files are not what they were when they were stored; "
            "check the disk and take these files from an older backup"
        )


def _require_same_kind(entries: list[Entry]) -> None:
    """A copy of one database is not read by the other."""
    other = {SQLITE: DUMP, DUMP: SQLITE}[database_copy()]
    if any(entry.path == other for entry in entries):
        kinds = {SQLITE: "SQLite: leave CRYOCLOUD_DATABASE empty", DUMP: "PostgreSQL: set CRYOCLOUD_DATABASE"}
        raise BackupError(f"this backup is of a platform with {kinds[other]} and restore again")
    if database_copy() == DUMP:
        postgres_copy.require_empty()


def _put_back(kept: Path, home: Path, entry: Entry) -> None:
    if entry.path == DUMP:
        _require_unchanged(kept / DUMP, entry)
        postgres_copy.load(kept / DUMP)
        return
    target = home / entry.path
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if entry.same_as:
        os.link(home / entry.same_as, target)
        return
    try:
        shutil.copy2(kept / entry.path, target)
    except FileNotFoundError:
        raise BackupError(f"{kept / entry.path} is missing; choose another backup") from None
    _require_unchanged(target, entry, kept / entry.path)


def _require_unchanged(path: Path, entry: Entry, kept: Path | None = None) -> None:
    if file_sha256(path) != entry.sha256:
        raise BackupError(f"{kept or path} has been changed since the backup was made; choose another one")
