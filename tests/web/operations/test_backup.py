"""Backup and restore: same bytes, same links, nothing that is half there, nothing taken on trust."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core.places import attempt_folder, blob_file, dataset_folder, preview_folder, result_folder
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject
from cryocloud.web.operations.backup import back_up, restore
from cryocloud.web.operations.home import make_home
from cryocloud.web.operations.manifest import BackupError
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/web/postgres has those of a server"),
]


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def filled(owner, home):
    """A home with one dataset file, one published result, one failed and one running attempt."""
    make_home(home)
    put(home / "secret-key", b"k" * 64)
    own = {"organization": owner.organization}
    dataset = Dataset.unscoped.create(**own, name="apoferritin", created_by_id=owner.user.id)
    pixels = os.urandom(300_000)
    stored = StoredObject.unscoped.create(
        **own, key="ab" + "c" * 30, size_bytes=len(pixels), sha256=sha256_of(pixels)
    )
    DatasetFile.unscoped.create(**own, dataset=dataset, path="day 1/mic.mrc", stored=stored)
    blob = put(blob_file(stored.key), pixels)
    named = dataset_folder(dataset.id) / "day 1/mic.mrc"
    named.parent.mkdir(parents=True)
    named.hardlink_to(blob)
    put(preview_folder(dataset.id) / "mic.webp", b"small picture")
    project = Project.unscoped.create(**own, name="p", created_by_id=owner.user.id)
    job = Job.unscoped.create(
        **own, project=project, number=1, job_type="ctf", version=1, parameters={}, inputs={},
        created_by_id=owner.user.id,
    )  # fmt: skip
    states = {"done": "succeeded", "bad": "failed", "busy": "running"}
    attempts = {
        name: Attempt.unscoped.create(**own, job=job, number=number, state=state, fence=1)
        for number, (name, state) in enumerate(states.items())
    }
    table = b"data_\n_rlnDefocusU 10000\n"
    put(result_folder(job.id, attempts["done"].id) / "micrographs.star", table)
    Artifact.unscoped.create(
        **own, job=job, attempt=attempts["done"], path="micrographs.star", size_bytes=len(table),
        sha256=sha256_of(table),
    )  # fmt: skip
    put(result_folder(job.id, attempts["busy"].id) / "half.mrc", b"half")
    put(attempt_folder(attempts["bad"].id) / "log.txt", b"no memory")
    put(attempt_folder(attempts["busy"].id) / "claim", b"")
    return home


def files_of(home: Path) -> dict[str, str]:
    return {
        path.relative_to(home).as_posix(): sha256_of(path.read_bytes())
        for path in home.rglob("*")
        if path.is_file() and path.name != "db.sqlite3"
    }


def test_a_restored_home_holds_the_same_bytes_but_nothing_half_made(filled, tmp_path_factory):
    kept, fresh = tmp_path_factory.mktemp("kept") / "b", tmp_path_factory.mktemp("fresh") / "home"
    back_up(filled, kept)
    restore(kept, fresh)
    expected = {
        path: sha256
        for path, sha256 in files_of(filled).items()
        if not path.endswith(("half.mrc", "claim")) and "server" not in path
    }
    assert files_of(fresh) == expected
    assert len(expected) == 6
    with sqlite3.connect(fresh / "db.sqlite3") as copy:
        assert copy.execute("SELECT name FROM data_dataset").fetchall() == [("apoferritin",)]


def test_names_of_dataset_files_stay_links_to_their_bytes(filled, tmp_path_factory):
    kept, fresh = tmp_path_factory.mktemp("kept") / "b", tmp_path_factory.mktemp("fresh") / "home"
    entries = back_up(filled, kept)
    assert not list(kept.rglob("mic.mrc"))
    assert sum(entry.size_bytes for entry in entries if entry.path.startswith("datasets/")) == 300_000
    restore(kept, fresh)
    named = next(fresh.rglob("mic.mrc"))
    assert named.stat().st_nlink == 2
    assert named.samefile(next((fresh / "blobs").rglob("abc*")))


def test_writing_to_the_restored_home_leaves_the_backup_alone(filled, tmp_path_factory):
    kept, fresh = tmp_path_factory.mktemp("kept") / "b", tmp_path_factory.mktemp("fresh") / "home"
    back_up(filled, kept)
    restore(kept, fresh)
    next((fresh / "blobs").rglob("abc*")).write_bytes(b"changed")
    restore(kept, tmp_path_factory.mktemp("again") / "home")


@pytest.mark.parametrize("victim", ["blobs/ab/ab" + "c" * 30, "db.sqlite3", "secret-key"])
def test_a_changed_byte_is_found_and_leaves_no_home(filled, tmp_path_factory, victim):
    kept, fresh = tmp_path_factory.mktemp("kept") / "b", tmp_path_factory.mktemp("fresh") / "home"
    back_up(filled, kept)
    path = kept / "files" / victim
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(BackupError, match="has been changed"):
        restore(kept, fresh)
    assert not list(fresh.iterdir())


def test_a_missing_file_is_found(filled, tmp_path_factory):
    kept, fresh = tmp_path_factory.mktemp("kept") / "b", tmp_path_factory.mktemp("fresh") / "home"
    back_up(filled, kept)
    next((kept / "files/results").rglob("*.star")).unlink()
    with pytest.raises(BackupError, match="is missing"):
        restore(kept, fresh)


def test_a_changed_list_is_found(filled, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / "b"
    back_up(filled, kept)
    lines = (kept / "manifest.jsonl").read_text().splitlines()
    (kept / "manifest.jsonl").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(BackupError, match="has been changed"):
        restore(kept, kept.parent / "home")


def test_an_unfinished_backup_is_refused(filled, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / "b"
    back_up(filled, kept)
    (kept / "backup.json").unlink()
    with pytest.raises(BackupError, match="no complete backup"):
        restore(kept, kept.parent / "home")


def test_a_list_that_leads_out_of_the_home_is_refused(filled, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / "b"
    back_up(filled, kept)
    with (kept / "manifest.jsonl").open("a") as stream:
        stream.write(json.dumps({"path": "../evil", "size_bytes": 0, "sha256": ""}) + "\n")
    summary = json.loads((kept / "backup.json").read_text())
    summary["manifest_sha256"] = sha256_of((kept / "manifest.jsonl").read_bytes())
    (kept / "backup.json").write_text(json.dumps(summary))
    with pytest.raises(BackupError, match="leads out"):
        restore(kept, kept.parent / "home")


def test_bytes_that_rotted_in_the_home_are_not_taken_for_good(filled, tmp_path_factory):
    next((filled / "blobs").rglob("abc*")).write_bytes(b"rotten")
    with pytest.raises(BackupError, match="not what they were"):
        back_up(filled, tmp_path_factory.mktemp("kept") / "b")


def test_bytes_that_are_gone_from_the_home_are_told(filled, tmp_path_factory):
    next((filled / "results").rglob("micrographs.star")).unlink()
    with pytest.raises(BackupError, match=r"micrographs\.star is missing"):
        back_up(filled, tmp_path_factory.mktemp("kept") / "b")


def test_folders_in_use_are_refused(filled, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / "b"
    back_up(filled, kept)
    with pytest.raises(BackupError, match="is not empty"):
        back_up(filled, kept)
    with pytest.raises(BackupError, match="is not empty"):
        restore(kept, filled)
    with pytest.raises(BackupError, match="inside the home"):
        back_up(filled, filled / "backups/today")


def test_a_backup_is_for_its_owner_only(filled, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / "b"
    back_up(filled, kept)
    assert kept.stat().st_mode & 0o077 == 0


def test_a_backup_is_recorded_for_the_operators_page_and_so_is_one_that_failed(
    filled, tmp_path_factory, settings
):
    settings.CONFIGURATION = SimpleNamespace(
        home=filled, database_file=Path(connection.settings_dict["NAME"])
    )
    kept = tmp_path_factory.mktemp("kept")
    call_command("backup", str(kept / "night"), stdout=io.StringIO())
    made = AuditEvent.objects.get(verb="backup.made")
    assert made.detail["folder"] == str(kept / "night") and made.detail["files"] > 3
    with pytest.raises(CommandError, match="is not empty"):
        call_command("backup", str(kept / "night"))
    assert "is not empty" in AuditEvent.objects.get(verb="backup.failed").detail["reason"]
