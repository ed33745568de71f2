"""Dataset pages as a browser without script sees them."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from cryocloud.web.audit.models import AuditEvent
from cryocloud.web.core import places
from cryocloud.web.core.clock import now
from cryocloud.web.data import usage
from cryocloud.web.data.models import Dataset, DatasetFile, StoredObject, Upload
from cryocloud.web.data.services import create_dataset, jobs_using, trash_dataset
from cryocloud.web.data.tasks import empty_trash
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job
from web_data import add_file, bytes_of, run_tasks


def test_a_dataset_is_made_with_a_microscope_profile(owner):
    answer = owner.client.post(
        "/datasets/new/",
        {"name": "  apo ", "description": "x", "voltage_kv": "300", "pixel_size_angstrom": "1,5"},
    )
    dataset = Dataset.unscoped.get()
    assert answer.url == f"/datasets/{dataset.pk}/"
    assert (dataset.name, dataset.profile) == ("apo", {"voltage_kv": 300.0, "pixel_size_angstrom": 1.5})
    page = owner.client.get(answer.url).content.decode()
    assert "300 kV" in page
    assert "Acceleration voltage" in page


@pytest.mark.parametrize(
    ("form", "blamed"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a", "voltage_kv": "3"}, "voltage_kv"),
        ({"name": "a", "voltage_kv": "nan"}, "voltage_kv"),
        ({"name": "a", "amplitude_contrast": "seven"}, "amplitude_contrast"),
    ],
)
def test_a_form_that_cannot_be_used_says_which_field(owner, form, blamed):
    answer = owner.client.post("/datasets/new/", form)
    assert answer.status_code == 422
    assert f'id="{blamed}"' in answer.content.decode()
    assert 'aria-invalid="true"' in answer.content.decode()
    assert not Dataset.unscoped.exists()


def test_files_arrive_through_the_plain_form(owner, dataset):
    answer = owner.client.post(
        f"/datasets/{dataset.pk}/upload/",
        {"files": [SimpleUploadedFile("a.mrc", b"first"), SimpleUploadedFile("b.star", b"second")]},
        follow=True,
    )
    assert "2 files arrived." in answer.content.decode()
    again = owner.client.post(
        f"/datasets/{dataset.pk}/upload/", {"files": [SimpleUploadedFile("a.mrc", b"other")]}, follow=True
    )
    assert "in this dataset already" in again.content.decode()
    assert sorted(DatasetFile.unscoped.values_list("path", "stored__size_bytes")) == [
        ("a.mrc", 5),
        ("b.star", 6),
    ]


@pytest.mark.parametrize(
    "name", ["a.mrc", "b c.star", "gain.tiff", "frames.eer", "model.pdb", "ünïcode 漢.cif"]
)
def test_bytes_come_back_as_they_were_uploaded(owner, dataset, name):
    content = os.urandom(100_003)
    file = add_file(owner, dataset, f"sub/{name}", content)
    answer = owner.client.get(f"/files/{file.pk}/download/")
    assert hashlib.sha256(bytes_of(answer)).hexdigest() == hashlib.sha256(content).hexdigest()
    assert answer["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer["Content-Disposition"].startswith("attachment")
    part = owner.client.get(f"/files/{file.pk}/download/", headers={"Range": "bytes=77777-"})
    assert (part.status_code, bytes_of(part)) == (206, content[77777:])


def test_all_or_selected_files_come_as_an_archive_with_checksums(owner, dataset):
    files = [add_file(owner, dataset, path, path.encode()) for path in ("a.mrc", "sub/b.mrc", "SHA256SUMS")]
    everything = zipfile.ZipFile(io.BytesIO(bytes_of(owner.client.get(f"/datasets/{dataset.pk}/archive/"))))
    assert set(everything.namelist()) == {"files/a.mrc", "files/sub/b.mrc", "files/SHA256SUMS", "SHA256SUMS"}
    sums = dict(reversed(line.split("  ", 1)) for line in everything.read("SHA256SUMS").decode().splitlines())
    for name, digest in sums.items():
        assert hashlib.sha256(everything.read(name)).hexdigest() == digest
    chosen = owner.client.post(f"/datasets/{dataset.pk}/archive/", {"file": [files[1].pk]})
    assert "files/a.mrc" not in zipfile.ZipFile(io.BytesIO(bytes_of(chosen))).namelist()
    assert owner.client.post(f"/datasets/{dataset.pk}/archive/", {}).status_code == 422


def test_a_selection_cannot_reach_into_another_dataset(owner, dataset):
    other = create_dataset(actor=owner.actor, organization=owner.organization, name="other")
    file = add_file(owner, other, "secret", b"x")
    answer = owner.client.post(f"/datasets/{dataset.pk}/archive/", {"file": [file.pk]})
    assert answer.status_code == 404


def test_strangers_see_the_same_as_for_what_does_not_exist(owner, stranger, dataset):
    file = add_file(owner, dataset, "a.mrc", b"x")
    for path in ("", "edit/", "archive/", "delete/", "purge/"):
        there = stranger.client.get(f"/datasets/{dataset.pk}/{path}")
        missing = stranger.client.get(f"/datasets/{'a' * 26}/{path}")
        assert (there.status_code, missing.status_code) == (404, 404)
    for path in ("upload/", "import/", "restore/"):
        assert stranger.client.post(f"/datasets/{dataset.pk}/{path}").status_code == 404
    for path in ("", "download/", "preview/thumb/"):
        assert stranger.client.get(f"/files/{file.pk}/{path}").status_code == 404


def test_viewers_look_and_download_but_change_nothing(owner, make_member, dataset):
    file = add_file(owner, dataset, "a.mrc", b"x")
    viewer = make_member(organization=owner.organization, role=Role.VIEWER, name="vera")
    page = viewer.client.get(f"/datasets/{dataset.pk}/").content.decode()
    assert "a.mrc" in page
    assert "data-island" not in page
    assert viewer.client.get(f"/files/{file.pk}/download/").status_code == 200
    for path in ("edit/", "delete/"):
        assert viewer.client.get(f"/datasets/{dataset.pk}/{path}").status_code == 403
    assert viewer.client.post(f"/datasets/{dataset.pk}/upload/", {}).status_code == 403


def test_deletion_shows_what_goes_and_waits_seven_days_in_the_trash(owner, dataset, home, monkeypatch):
    file = add_file(owner, dataset, "sub/a.mrc", b"x" * 1234)
    blob, named = places.blob_file(file.stored.key), places.dataset_folder(dataset.pk) / file.path
    preview = owner.client.get(f"/datasets/{dataset.pk}/delete/").content.decode()
    assert "1.2 kB" in preview
    assert "No job has used it." in preview
    owner.client.post(f"/datasets/{dataset.pk}/delete/")
    assert (
        dataset.name
        not in owner.client.get("/datasets/").content.decode().split("Trash")[0].split("</h1>")[1]
    )
    assert blob.exists()

    begun = now()
    monkeypatch.setattr("cryocloud.web.data.tasks.now", lambda: begun + timedelta(days=6, hours=23))
    empty_trash()
    run_tasks()
    assert blob.exists()
    monkeypatch.setattr("cryocloud.web.data.tasks.now", lambda: begun + timedelta(days=7, minutes=1))
    empty_trash()
    run_tasks()
    assert not blob.exists()
    assert not named.exists()
    assert not Dataset.unscoped.exists()
    assert not StoredObject.unscoped.exists()
    assert not list((home / "previews").rglob("*"))
    assert AuditEvent.objects.get(verb="dataset.purge").detail == {"files": 1, "size_bytes": 1234}


def test_what_is_in_the_trash_comes_back_whole(owner, dataset):
    file = add_file(owner, dataset, "a.mrc", b"bytes")
    owner.client.post(f"/datasets/{dataset.pk}/delete/")
    assert owner.client.post(f"/datasets/{dataset.pk}/delete/").status_code == 409
    owner.client.post(f"/datasets/{dataset.pk}/restore/")
    dataset.refresh_from_db()
    assert dataset.trashed_at is None
    assert bytes_of(owner.client.get(f"/files/{file.pk}/download/")) == b"bytes"


def test_the_trash_can_be_emptied_now_and_only_by_administrators(owner, make_member, dataset):
    file = add_file(owner, dataset, "a.mrc", b"bytes")
    editor = make_member(organization=owner.organization, role=Role.EDITOR, name="ed")
    assert owner.client.post(f"/datasets/{dataset.pk}/purge/").status_code in (302, 409)
    assert Dataset.unscoped.get().purge_ordered_at is None
    owner.client.post(f"/datasets/{dataset.pk}/delete/")
    assert editor.client.post(f"/datasets/{dataset.pk}/purge/").status_code == 403
    owner.client.post(f"/datasets/{dataset.pk}/purge/")
    assert owner.client.post(f"/datasets/{dataset.pk}/restore/").status_code == 409
    run_tasks()
    assert not places.blob_file(file.stored.key).exists()
    assert not Dataset.unscoped.exists()


def test_a_dataset_in_use_stays_until_the_job_has_ended(owner, dataset, monkeypatch):
    file = add_file(owner, dataset, "a.mrc", b"bytes")
    reading = [usage.JobUse("j" * 26, "job 7 (ctf)", is_active=True)]
    monkeypatch.setattr("cryocloud.web.data.usage._readers", [lambda _: reading])
    trash_dataset(actor=owner.actor, dataset=dataset)
    answer = owner.client.post(f"/datasets/{dataset.pk}/purge/", follow=True)
    assert "being read by job 7 (ctf)" in answer.content.decode()
    monkeypatch.setattr("cryocloud.web.data.tasks.now", lambda: now() + timedelta(days=30))
    empty_trash()
    run_tasks()
    assert places.blob_file(file.stored.key).exists()
    reading.clear()
    empty_trash()
    run_tasks()
    assert not places.blob_file(file.stored.key).exists()


def test_equal_content_of_two_organizations_is_kept_twice(owner, stranger, dataset):
    theirs = create_dataset(actor=stranger.actor, organization=stranger.organization, name="theirs")
    mine, other = (
        add_file(who, where, "a", b"same") for who, where in ((owner, dataset), (stranger, theirs))
    )
    assert mine.stored.key != other.stored.key
    blobs = [places.blob_file(one.stored.key) for one in (mine, other)]
    assert not blobs[0].samefile(blobs[1])
    trash_dataset(actor=owner.actor, dataset=dataset)
    owner.client.post(f"/datasets/{dataset.pk}/purge/")
    run_tasks()
    assert not blobs[0].exists()
    assert blobs[1].read_bytes() == b"same"


def test_the_list_shows_sizes_and_can_be_searched(owner, dataset):
    add_file(owner, dataset, "a", b"x" * 2500)
    create_dataset(actor=owner.actor, organization=owner.organization, name="ribosome")
    page = owner.client.get("/datasets/").content.decode()
    assert "2.5 kB" in page
    assert "ribosome" not in owner.client.get("/datasets/?q=apo").content.decode()


def test_files_are_filtered_and_paged(owner, dataset):
    for number in range(53):
        add_file(owner, dataset, f"{number:03}.mrc", b"x")
    first, second = (owner.client.get(f"/datasets/{dataset.pk}/?page={n}").content.decode() for n in (1, 2))
    assert "049.mrc" in first
    assert "050.mrc" not in first
    assert "052.mrc" in second
    assert "007.mrc" not in owner.client.get(f"/datasets/{dataset.pk}/?q=01").content.decode()
    assert (
        owner.client.get(f"/datasets/{dataset.pk}/?state=read").content.decode().count("No file matches") == 1
    )


def test_uploads_that_are_open_are_given_up_with_the_dataset(owner, dataset):
    from cryocloud.web.data.services import begin_upload

    begin_upload(actor=owner.actor, dataset=dataset, path="a", size_bytes=10)
    owner.client.post(f"/datasets/{dataset.pk}/delete/")
    assert Upload.unscoped.get().state == Upload.State.ABORTED


def test_jobs_on_results_of_a_dataset_count_as_its_readers(owner, dataset):
    file = add_file(owner, dataset, "a.mrc", b"bytes")
    project = Project.unscoped.create(organization=owner.organization, name="p", created_by_id=owner.user.id)

    def job(number, reference, state):
        return Job.unscoped.create(
            organization=owner.organization,
            project=project,
            number=number,
            job_type="ctf",
            version=1,
            parameters={},
            inputs={"input": reference},
            state=state,
            created_by_id=owner.user.id,
        )

    first = job(1, f"file:{file.pk}", Job.State.DONE)
    second = job(2, f"job:{first.pk}/micrographs.star", Job.State.RUNNING)
    job(3, "dataset:" + "a" * 26, Job.State.RUNNING)
    uses = jobs_using(dataset)
    assert [(use.job_id, use.is_active) for use in uses] == [(second.pk, True), (first.pk, False)]
    page = owner.client.get(f"/datasets/{dataset.pk}/delete/").content.decode()
    assert "job 2 (ctf)" in page
    trash_dataset(actor=owner.actor, dataset=dataset)
    refused = owner.client.post(f"/datasets/{dataset.pk}/purge/", follow=True).content.decode()
    assert "being read by job 2 (ctf)" in refused
