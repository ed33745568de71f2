"""Below the reserve of the disk nothing new is taken, and what frees room or ends work goes on."""

from __future__ import annotations

import pytest

from cryocloud.web.configuration import ServerFolder, configuration
from cryocloud.web.core import disk_room, tasks
from cryocloud.web.core.clock import now
from cryocloud.web.core.disk_room import Room, keep_ballast, room
from cryocloud.web.core.models import BackgroundTask
from cryocloud.web.data.models import Dataset, DatasetFile, Upload
from cryocloud.web.data.services import add_server_folder, begin_upload, create_dataset
from cryocloud.web.data.tasks import remove_dataset
from platform_orders import make_project
from web_data import add_file, run_tasks

pytestmark = pytest.mark.django_db
GIB = 2**30


@pytest.fixture
def disk(monkeypatch, home):
    """``disk.low()`` and ``disk.fine()``: where the reserve begins, beside what is really free."""

    class Disk:
        @staticmethod
        def low():
            monkeypatch.setattr(disk_room, "BYTES_MIN", 2**60)
            Disk._reserve(2**60)

        @staticmethod
        def fine():
            monkeypatch.setattr(disk_room, "BYTES_MIN", 32 << 20)
            Disk._reserve(8 << 20)

        @staticmethod
        def _reserve(size_bytes):
            folder = ServerFolder.model_validate(f"{home}/server=*")
            changed = {"disk_reserve_bytes": size_bytes, "server_folders": (folder,)}
            fresh = configuration().model_copy(update=changed)
            monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)

    Disk.fine()
    return Disk


def test_the_reserve_fits_small_and_large_disks():
    large = Room(100 * 2**40, 0, 10**9, 0)
    assert (large.reserved_bytes, large.reserved_inodes, large.ballast_bytes) == (2 * GIB, 10**7, 64 << 20)
    small = Room(120 << 20, 0, 400, 0)
    assert (small.reserved_bytes, small.reserved_inodes, small.ballast_bytes) == (32 << 20, 40, 8 << 20)
    assert (small.ballast_inodes, Room(20 * GIB, 0, 0, 0).reserved_bytes) == (10, GIB)


def test_a_disk_without_a_limit_on_inodes_lacks_none():
    assert Room(20 * GIB, 10 * GIB, 0, 0).shortage == ""
    assert "inodes are free, fewer than the reserve of 1,000" in Room(20 * GIB, 10 * GIB, 10**5, 999).shortage


def test_what_is_new_is_refused_with_507_and_no_figures(owner, dataset, disk):
    project = make_project(owner)
    announced = {"path": "a.mrc", "size_bytes": 10}
    disk.low()
    job = {"job_type": "simulate_map", "parameters": {}, "inputs": {}}
    for path, body in (
        (f"/datasets/{dataset.pk}/uploads", announced),
        ("/datasets", {"organization_id": owner.organization.pk, "name": "another"}),
        (f"/projects/{project.pk}/jobs", job),
    ):
        answer = owner.api("POST", path, body)
        assert answer.status_code == 507, (path, answer.content)
        assert "no room for anything new at the moment" in answer.json()["error"]
        assert not any(letter.isdigit() for letter in answer.json()["error"])
    page = owner.client.post("/datasets/new/", {"name": "another"})
    assert page.status_code == 507
    disk.fine()
    assert owner.api("POST", f"/datasets/{dataset.pk}/uploads", announced).status_code == 201


def test_bytes_are_refused_in_the_middle_of_an_upload_and_what_came_is_kept(owner, dataset, disk):
    from cryocloud.web.core.errors import DiskFull
    from cryocloud.web.data.partial_file import PartialFile

    upload = begin_upload(actor=owner.actor, dataset=dataset, path="a.mrc", size_bytes=20)
    partial = PartialFile(upload.pk)
    partial.append(b"0123456789")
    disk.low()
    with pytest.raises(DiskFull):
        partial.append(b"0123456789")
    partial.close()
    assert partial.length == 10
    with pytest.raises(DiskFull):
        PartialFile(upload.pk)


def test_pages_log_in_and_deletion_work(owner, dataset, disk, client):
    add_file(owner, dataset, "a.mrc", b"1")
    disk.low()
    assert owner.client.get("/datasets/").status_code == 200
    assert owner.api("POST", f"/datasets/{dataset.pk}/trash").status_code == 200
    assert owner.api("DELETE", f"/datasets/{dataset.pk}").status_code == 202
    run_tasks()
    assert not Dataset.unscoped.exists()


def pass_pauses():
    BackgroundTask.objects.filter(state=BackgroundTask.State.READY).update(run_after=now())


def test_reading_and_copying_wait_for_room_however_long_and_go_on_by_themselves(owner, dataset, disk, home):
    (home / "server").mkdir()
    (home / "server/b.bin").write_bytes(b"0" * 1000)
    add_server_folder(actor=owner.actor, dataset=dataset, folder=str(home / "server"))
    add_file(owner, dataset, "a.star", b"data_a\n\n_b 1\n")
    disk.low()
    for _ in range(tasks.TRIES + 2):
        run_tasks()
        pass_pauses()
    assert Upload.unscoped.get(source__gt="").state == "open"
    assert DatasetFile.unscoped.get().state == "unread"
    assert not BackgroundTask.objects.filter(state=BackgroundTask.State.FAILED).exists()
    disk.fine()
    run_tasks()
    assert dict(DatasetFile.unscoped.values_list("path", "state")) == {"a.star": "read", "b.bin": "other"}


def test_a_purge_that_fails_half_way_for_lack_of_room_goes_on(owner, dataset, disk, monkeypatch):
    for name in "abc":
        add_file(owner, dataset, name, b"1")
    assert owner.api("POST", f"/datasets/{dataset.pk}/trash").status_code == 200
    assert owner.api("DELETE", f"/datasets/{dataset.pk}").status_code == 202
    monkeypatch.setattr("cryocloud.web.data.tasks.FILES_AT_ONCE", 1)
    whole = DatasetFile.unscoped.all()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("cryocloud.web.data.tasks.record_event", full)
        for _ in range(tasks.TRIES + 2):
            run_tasks()
            pass_pauses()
    assert not whole.exists()
    assert Dataset.unscoped.exists()
    run_tasks()
    assert not Dataset.unscoped.exists()
    assert BackgroundTask.objects.filter(path=remove_dataset.module_path, state="done").count() == 1


def test_a_task_whose_end_could_not_be_written_is_taken_again(owner, dataset, monkeypatch):
    from django.db import OperationalError

    create_dataset(actor=owner.actor, organization=owner.organization, name="other")
    add_file(owner, dataset, "a.star", b"data_a\n\n_b 1\n")

    def full(*_):
        raise OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(tasks, "_settle", full)
        with pytest.raises(OperationalError):
            tasks.run_next("worker")
    tasks.renew_leases("worker")
    running = BackgroundTask.objects.get(state=BackgroundTask.State.RUNNING)
    before = running.lease_expires_at
    tasks.renew_leases("worker")
    running.refresh_from_db()
    assert running.lease_expires_at == before
    BackgroundTask.objects.update(lease_expires_at=now())
    assert tasks.run_next("worker")
    assert not BackgroundTask.objects.exclude(state=BackgroundTask.State.DONE).exists()


def test_the_ballast_is_kept_let_go_and_kept_again(home, monkeypatch, disk):
    keep_ballast()
    ballast = home / "ballast"
    found = room()
    assert (ballast / "bytes").stat().st_size == found.ballast_bytes > 0
    assert len(list(ballast.iterdir())) == 1 + found.ballast_inodes
    full = Room(found.all_bytes, 0, found.all_inodes, found.free_inodes)
    with monkeypatch.context() as filled:
        filled.setattr(disk_room, "room", lambda: full)
        for _ in range(2):
            keep_ballast()
            assert not ballast.exists()
    keep_ballast()
    assert ballast.exists()
