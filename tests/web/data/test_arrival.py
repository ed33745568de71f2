"""The steps from the last byte to a file, each of which may be the last before a crash; and folders of the server."""

from __future__ import annotations

import os

import pytest

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.configuration import ConfigurationError, ServerFolder, configuration, read_configuration
from cryocloud.web.core import places
from cryocloud.web.core.errors import PlatformError, QuotaExceeded, Refused
from cryocloud.web.data import uploads
from cryocloud.web.data.models import DatasetFile, StoredObject, Upload
from cryocloud.web.data.services import (
    add_server_folder,
    begin_upload,
    create_dataset,
    finish_upload,
    storage_used,
)
from cryocloud.web.data.tasks import finish_interrupted, sweep_partial_files
from web_data import add_file, run_tasks


class Crash(Exception):
    pass


def complete_upload(owner, dataset, content, **given):
    upload = begin_upload(
        actor=owner.actor, dataset=dataset, path="a/b.mrc", size_bytes=len(content), **given
    )
    partial = places.partial_file(upload.pk)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
    return upload


@pytest.mark.parametrize(
    "step", ["hash_of_file", "settle", "link_under_name", "_record_file", "record_event"]
)
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_between_any_two_steps_is_repaired(owner, dataset, monkeypatch, step, after):
    upload = complete_upload(owner, dataset, b"content")
    real = getattr(uploads, step)

    def crash(*arguments, **named):
        if after:
            real(*arguments, **named)
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(uploads, step, crash)
        with pytest.raises(Crash):
            finish_upload(upload.pk)
    finish_interrupted()
    run_tasks()
    file = DatasetFile.unscoped.select_related("stored").get()
    assert places.blob_file(file.stored.key).read_bytes() == b"content"
    assert (places.dataset_folder(dataset.pk) / "a/b.mrc").samefile(places.blob_file(file.stored.key))
    assert Upload.unscoped.get().state == Upload.State.DONE
    assert not places.partial_file(upload.pk).exists()
    assert StoredObject.unscoped.count() == 1


def test_finishing_twice_gives_the_same_file_once(owner, dataset):
    upload = complete_upload(owner, dataset, b"content")
    first, second = finish_upload(upload.pk), finish_upload(upload.pk)
    assert first == second
    assert AuditEvent.objects.filter(verb="file.add").count() == 1


def test_an_incomplete_upload_is_not_finished(owner, dataset):
    upload = complete_upload(owner, dataset, b"content")
    places.partial_file(upload.pk).write_bytes(b"cont")
    assert finish_upload(upload.pk) is None
    assert places.partial_file(upload.pk).read_bytes() == b"cont"


@pytest.mark.django_db(transaction=True)
def test_an_upload_with_another_checksum_is_given_up_with_its_reason(owner, dataset):
    upload = complete_upload(owner, dataset, b"content", sha256="A" * 64)
    assert finish_upload(upload.pk) is None
    upload.refresh_from_db()
    assert upload.state == Upload.State.ABORTED
    assert "instead of aaaa" in upload.problem
    assert not places.partial_file(upload.pk).exists()
    assert (
        upload.problem.split("aaaa")[0].split()[-1]
        in owner.client.get(f"/datasets/{dataset.pk}/").content.decode()
    )


def test_bytes_of_uploads_that_are_not_open_are_swept(owner, dataset):
    upload = complete_upload(owner, dataset, b"content")
    stray = places.partial_file("z" * 26)
    stray.write_bytes(b"left by a crash")
    sweep_partial_files()
    assert places.partial_file(upload.pk).exists()
    assert not stray.exists()


def test_storage_counts_files_trash_and_open_uploads(owner, dataset):
    add_file(owner, dataset, "a", b"12345")
    begin_upload(actor=owner.actor, dataset=dataset, path="b", size_bytes=1000)
    assert storage_used(owner.organization).size_bytes == 1005
    owner.client.post(f"/datasets/{dataset.pk}/delete/")
    assert storage_used(owner.organization).size_bytes == 5


@pytest.fixture
def server_folder(tmp_path_factory, monkeypatch, owner):
    """An open folder with files, links in it that lead out, and a neighbor that is not open."""
    root = tmp_path_factory.mktemp("server")
    opened, closed = root / "open", root / "closed"
    (opened / "session" / "grid").mkdir(parents=True)
    closed.mkdir()
    (closed / "secret.txt").write_text("secret")
    (opened / "session" / "a.mrc").write_bytes(os.urandom(5_000_001))
    (opened / "session" / "grid" / "b ü.star").write_text("data_\n")
    (opened / "session" / "empty").touch()
    (opened / "session" / "link.txt").symlink_to(closed / "secret.txt")
    (opened / "session" / "way out").symlink_to(closed)
    (opened / "escape").symlink_to(closed)
    os.mkfifo(opened / "session" / "pipe")
    grant(monkeypatch, f"{opened}=0someother|{owner.organization.pk}")
    return opened


def grant(monkeypatch, *folders):
    parsed = tuple(ServerFolder.model_validate(folder) for folder in folders)
    fresh = configuration().model_copy(update={"server_folders": parsed})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)


def test_a_server_folder_is_copied_without_what_links_reach(owner, dataset, server_folder):
    answer = owner.client.post(
        f"/datasets/{dataset.pk}/import/", {"folder": f"{server_folder}/session"}, follow=True
    )
    assert "3 files of session are being copied" in answer.content.decode()
    run_tasks()
    arrived = {file.path: file for file in DatasetFile.unscoped.select_related("stored")}
    assert set(arrived) == {"a.mrc", "grid/b ü.star", "empty"}
    original = server_folder / "session" / "a.mrc"
    blob = places.blob_file(arrived["a.mrc"].stored.key)
    assert blob.read_bytes() == original.read_bytes()
    assert not blob.samefile(original)


@pytest.mark.parametrize(
    "folder",
    [
        "{open}/../closed",
        "{open}/escape",
        "{open}/session/way out",
        "/etc",
        "/",
        "",
        "relative",
        "{open}/session/a.mrc",
        "{open}/no",
        "{open}\0",
    ],
)
def test_no_path_leads_out_of_the_open_folders(owner, dataset, server_folder, folder):
    with pytest.raises(Refused, match="may be imported"):
        add_server_folder(actor=owner.actor, dataset=dataset, folder=folder.format(open=server_folder))
    assert not Upload.unscoped.exists()


def test_a_file_that_became_a_link_before_it_was_copied_is_not_followed(owner, dataset, server_folder):
    add_server_folder(actor=owner.actor, dataset=dataset, folder=f"{server_folder}/session/grid")
    file = server_folder / "session" / "grid" / "b ü.star"
    file.unlink()
    file.symlink_to(server_folder.parent / "closed" / "secret.txt")
    run_tasks()
    assert not DatasetFile.unscoped.exists()
    assert "could not be copied" in Upload.unscoped.get().problem


def test_a_folder_that_becomes_a_link_while_a_file_is_opened_is_not_followed(
    owner, dataset, server_folder, monkeypatch
):
    add_server_folder(actor=owner.actor, dataset=dataset, folder=f"{server_folder}/session/grid")
    grid, closed = server_folder / "session" / "grid", server_folder.parent / "closed"
    (closed / "secret.txt").rename(closed / "b ü.star")
    opening = os.open

    def swap(path, *arguments, **named):
        if str(path).endswith("b ü.star") and not grid.is_symlink():
            grid.rename(server_folder / "moved")
            grid.symlink_to(closed)
        return opening(path, *arguments, **named)

    monkeypatch.setattr(os, "open", swap)
    run_tasks()
    assert grid.is_symlink()
    assert not DatasetFile.unscoped.exists()
    assert "could not be copied" in Upload.unscoped.get().problem


@pytest.mark.parametrize("folder", ["/srv", "/srv/cryo", "/srv/cryo/blobs", "/srv/x/../cryo"])
def test_a_folder_around_or_in_the_home_is_refused_at_the_start(folder):
    with pytest.raises(ConfigurationError, match="beside the home"):
        read_configuration({"CRYOCLOUD_HOME": "/srv/cryo", "CRYOCLOUD_SERVER_FOLDERS": f"{folder}=*"})
    read_configuration({"CRYOCLOUD_HOME": "/srv/cryo", "CRYOCLOUD_SERVER_FOLDERS": "/srv/cryodata=*"})


def test_a_folder_of_another_organization_is_as_if_it_were_not_there(stranger, server_folder, monkeypatch):
    theirs = create_dataset(actor=stranger.actor, organization=stranger.organization, name="theirs")
    with pytest.raises(Refused) as refused:
        add_server_folder(actor=stranger.actor, dataset=theirs, folder=f"{server_folder}/session")
    assert str(server_folder) not in str(refused.value)
    page = f"/datasets/{theirs.pk}/"
    assert str(server_folder) not in stranger.client.get(page).content.decode()
    own = server_folder.parent / "closed"
    grant(monkeypatch, f"{server_folder}=0someother", f"{own}={stranger.organization.pk}")
    for folder in (server_folder, f"{server_folder}/session", f"{own}/../open/session"):
        answer = stranger.client.post(f"{page}import/", {"folder": str(folder)}, follow=True)
        assert f"Name one that lies in {own}." in answer.content.decode()
    assert not Upload.unscoped.exists()
    assert str(own) in stranger.client.get(page).content.decode()


def test_a_folder_for_everybody_is_open_to_all(stranger, server_folder, monkeypatch):
    theirs = create_dataset(actor=stranger.actor, organization=stranger.organization, name="theirs")
    grant(monkeypatch, f"{server_folder}=*")
    assert (
        len(add_server_folder(actor=stranger.actor, dataset=theirs, folder=f"{server_folder}/session")) == 3
    )


def test_a_grant_that_ends_before_the_copy_is_kept_to(owner, dataset, server_folder, monkeypatch):
    add_server_folder(actor=owner.actor, dataset=dataset, folder=f"{server_folder}/session/grid")
    grant(monkeypatch, f"{server_folder}=0someother")
    run_tasks()
    assert not DatasetFile.unscoped.exists()
    assert "could not be copied" in Upload.unscoped.get().problem


@pytest.mark.parametrize("text", ["/data", "/data=", "/data=|", "data=*", "=*"])
def test_a_folder_without_organizations_is_refused_at_the_start(text):
    with pytest.raises(ConfigurationError, match=r"/FOLDER=\* for every organization"):
        read_configuration({"CRYOCLOUD_SERVER_FOLDERS": text})
    read = read_configuration({"CRYOCLOUD_SERVER_FOLDERS": "/a=b=01J|01K,/c=*"}).server_folders
    assert [str(folder.path) for folder in read] == ["/a=b", "/c"]
    assert [folder.is_open_for("01K") for folder in read] == [True, True]
    assert [folder.is_open_for("01X") for folder in read] == [False, True]


def test_without_open_folders_nothing_can_be_imported(owner, dataset):
    with pytest.raises(Refused, match="CRYOCLOUD_SERVER_FOLDERS"):
        add_server_folder(actor=owner.actor, dataset=dataset, folder="/tmp")
    assert "Import a folder" not in owner.client.get(f"/datasets/{dataset.pk}/").content.decode()


def test_an_import_that_does_not_fit_brings_nothing(owner, dataset, server_folder, monkeypatch):
    small = configuration().model_copy(update={"trial_storage_bytes": 5_000_000})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: small)
    with pytest.raises(QuotaExceeded):
        add_server_folder(actor=owner.actor, dataset=dataset, folder=f"{server_folder}/session")
    assert not Upload.unscoped.exists()


def test_nothing_is_added_after_the_trial(owner, dataset):
    owner.organization.state = "trial_ended"
    owner.organization.save()
    with pytest.raises(PlatformError, match="takes nothing new: its trial has ended"):
        begin_upload(actor=owner.actor, dataset=dataset, path="a", size_bytes=1)
