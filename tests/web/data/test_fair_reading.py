"""One organization's files, however many or hostile, keep another's waiting for one turn at most."""

from __future__ import annotations

import hashlib
import random
import time
from datetime import timedelta

import numpy as np
import pytest

from cryocloud.web.configuration import ServerFolder, configuration
from cryocloud.web.core import tasks
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.data import inspection
from cryocloud.web.data import tasks as data_tasks
from cryocloud.web.data.models import DatasetFile, Upload
from cryocloud.web.data.services import add_server_folder, begin_upload, create_dataset
from cryocloud.web.operations.worker import LANES
from web_data import add_file, run_tasks

STAR = b"data_a\n\nloop_\n_a\n1\n"


@pytest.fixture(autouse=True)
def nothing_served_yet(monkeypatch):
    monkeypatch.setattr(tasks, "_served", {})
    monkeypatch.setattr(inspection, "_alone", {})


@pytest.fixture
def her_dataset(stranger):
    return create_dataset(actor=stranger.actor, organization=stranger.organization, name="hers")


def take_turns(count):
    for _ in range(count):
        tasks.run_next("worker", LANES["reading"])


def state_of(file):
    file.refresh_from_db()
    return file.state


def slow_star(megabytes):
    """Many short rows of text: as slow to read as bytes can be."""
    return b"data_a\n\nloop_\n_a\n_b\n" + b"x y\n" * (megabytes << 18)


def test_a_single_file_waits_for_one_batch_of_many(owner, dataset, stranger, her_dataset):
    for number in range(60):
        add_file(owner, dataset, f"{number}.star", STAR)
    take_turns(1)
    hers = add_file(stranger, her_dataset, "hers.star", STAR)
    take_turns(1)
    assert state_of(hers) == "read"
    assert DatasetFile.unscoped.filter(state="unread").count() > 30


def test_many_arrivals_wait_as_one_order(owner, dataset):
    for number in range(30):
        add_file(owner, dataset, f"{number}.star", STAR)
    assert BackgroundTask.objects.filter(priority=tasks.READING).count() == 1


@pytest.mark.slow
def test_hostile_files_cost_their_owner_and_not_another(owner, dataset, stranger, her_dataset, monkeypatch):
    monkeypatch.setattr(inspection, "FILE_S", 4.0)
    slow = slow_star(48)
    hostile = [add_file(owner, dataset, f"{number}.star", slow) for number in range(2)]
    after = add_file(owner, dataset, "after.star", STAR)
    hers = add_file(stranger, her_dataset, "hers.star", STAR)
    began_s = time.monotonic()
    while state_of(hers) == "unread":
        take_turns(1)
    # Two tries of the first hostile file, and the start of a reader on a busy machine.
    assert time.monotonic() - began_s < 3 * 4.0 + 5
    run_tasks()
    assert [state_of(file) for file in (*hostile, after, hers)] == ["damaged", "damaged", "read", "read"]
    assert hostile[0].problem.startswith("0.star could not be read: the reader did not finish within 4 s")


def test_two_files_of_sixty_thousand_columns_do_not_delay_another_tenant(
    owner, dataset, stranger, her_dataset
):
    wide = b"data_a\n\nloop_\n" + b"".join(b"_c%d\n" % n for n in range(60_000)) + b"1 " * 60_000 + b"\n"
    for name in ("a.star", "b.star"):
        add_file(owner, dataset, name, wide)
    hers = add_file(stranger, her_dataset, "hers.star", STAR)
    began_s = time.monotonic()
    run_tasks()
    # Was 148 s.
    assert time.monotonic() - began_s < 20
    assert state_of(hers) == "read"
    refused = DatasetFile.unscoped.get(path="a.star")
    assert (refused.state, "more than 4,096 columns" in refused.problem) == ("damaged", True)


def test_an_order_that_was_lost_is_given_again(owner, dataset):
    file = add_file(owner, dataset, "a.star", STAR)
    BackgroundTask.objects.all().delete()
    data_tasks.inspect_forgotten()
    run_tasks()
    assert state_of(file) == "read"


def test_a_file_of_noise_under_every_name_ends_in_time(owner, dataset, monkeypatch):
    monkeypatch.setattr(inspection, "FILE_S", 10.0)
    noise = np.random.default_rng(7).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()
    files = [add_file(owner, dataset, name, noise) for name in ("a.star", "a.mrc", "a.mrc.gz", "a.mrc.bz2")]
    run_tasks()
    assert {state_of(file) for file in files} == {"damaged"}


def test_long_copies_and_checksums_are_made_in_turns(
    owner, dataset, stranger, her_dataset, home, monkeypatch
):
    monkeypatch.setattr(data_tasks, "TURN_S", 0.0)
    monkeypatch.setattr(data_tasks, "_PIECE_BYTES", 1000)
    folder = ServerFolder.model_validate(f"{home}/server=*")
    fresh = configuration().model_copy(update={"server_folders": (folder,)})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    content = random.Random(3).randbytes(20_500)
    for name, size_bytes in (("long", 20_500), ("short", 900)):
        (home / "server" / name).mkdir(parents=True)
        (home / "server" / name / "a.bin").write_bytes(content[:size_bytes])
    add_server_folder(actor=owner.actor, dataset=dataset, folder=f"{home}/server/long")
    tasks.run_next("worker", LANES["moving"])
    add_server_folder(actor=stranger.actor, dataset=her_dataset, folder=f"{home}/server/short")
    for _ in range(6):
        tasks.run_next("worker", LANES["moving"])
    assert her_dataset.files.count() == 1
    assert dataset.files.count() == 0
    run_tasks()
    assert dataset.files.get().stored.sha256 == hashlib.sha256(content).hexdigest()
    assert data_tasks._hashing == {}


def test_rows_of_uploads_that_ended_long_ago_are_forgotten(owner, dataset):
    add_file(owner, dataset, "old.star", STAR)
    coming = begin_upload(actor=owner.actor, dataset=dataset, path="coming.star", size_bytes=5)
    Upload.unscoped.update(expires_at=now() - timedelta(days=31))
    data_tasks.forget_uploads()
    assert list(Upload.unscoped.all()) == [coming]
