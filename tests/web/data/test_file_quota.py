"""Files are counted besides their bytes: an empty one takes an inode and rows too."""

from __future__ import annotations

import pytest

from cryocloud.web.configuration import ServerFolder, configuration
from cryocloud.web.core.errors import QuotaExceeded
from cryocloud.web.data.services import abort_upload, add_server_folder, begin_upload, trash_dataset
from cryocloud.web.data.tasks import remove_dataset
from web_data import add_file

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def three_files(home, monkeypatch):
    folder = ServerFolder.model_validate(f"{home}/server=*")
    fresh = configuration().model_copy(update={"trial_files": 3, "server_folders": (folder,)})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)


def announce(member, dataset, name, size_bytes=0):
    return begin_upload(actor=member.actor, dataset=dataset, path=name, size_bytes=size_bytes)


def test_empty_files_and_open_uploads_count(owner, dataset):
    add_file(owner, dataset, "a", b"")
    add_file(owner, dataset, "b", b"")
    waiting = announce(owner, dataset, "c")
    with pytest.raises(
        QuotaExceeded, match="1 file does not fit: 0 of the plan's 3 files are left, empty ones"
    ):
        announce(owner, dataset, "d")
    abort_upload(actor=owner.actor, upload=waiting)
    announce(owner, dataset, "d")


def test_what_lies_in_the_trash_counts_until_it_is_deleted(owner, dataset):
    for name in "abc":
        add_file(owner, dataset, name, b"1")
    other = dataset.__class__.unscoped.create(
        organization=owner.organization, name="other", created_by_id=owner.user.pk
    )
    trash_dataset(actor=owner.actor, dataset=dataset)
    with pytest.raises(QuotaExceeded):
        announce(owner, other, "d")
    assert owner.client.post(f"/datasets/{dataset.pk}/purge/").status_code in (200, 302)
    dataset.__class__.unscoped.filter(pk=dataset.pk).update(purge_ordered_at=dataset.created_at)
    remove_dataset.func(dataset.pk, organization_id=owner.organization.pk)
    announce(owner, other, "d")


def test_a_folder_of_the_server_is_counted_as_a_whole(owner, dataset, home):
    folder = home / "server"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.mrc").touch()
    with pytest.raises(QuotaExceeded, match="4 files do not fit: 3 of the plan's 3 files"):
        add_server_folder(actor=owner.actor, dataset=dataset, folder=str(folder))
    assert not dataset.uploads.exists()
    (folder / "3.mrc").unlink()
    assert len(add_server_folder(actor=owner.actor, dataset=dataset, folder=str(folder))) == 3


def test_pages_and_api_show_files_beside_bytes(owner, dataset, client):
    add_file(owner, dataset, "a", b"")
    page = owner.client.get("/datasets/").content.decode()
    assert "1 file used of 3 files" in page
    told = owner.api("GET", f"/organizations/{owner.organization.pk}/storage").json()
    assert (told["used_files"], told["limit_files"]) == (1, 3)
    assert "At most 3 uploaded files" in client.get("/plans/").content.decode()


def test_rows_that_a_person_makes_have_a_bound(owner, dataset, monkeypatch):
    project = owner.api("POST", "/projects", {"organization_id": owner.organization.pk, "name": "p"})
    assert project.status_code == 201
    monkeypatch.setattr("cryocloud.web.data.services.DATASETS_MAX", 1)
    monkeypatch.setattr("cryocloud.web.projects.services.PROJECTS_MAX", 1)
    monkeypatch.setattr("cryocloud.web.runs.services.JOBS_WAITING_MAX", 0)
    named = {"organization_id": owner.organization.pk, "name": "another"}
    for path, status in (("/datasets", 413), ("/projects", 413)):
        answer = owner.api("POST", path, named)
        assert (answer.status_code, "as many as one organization may have" in answer.json()["error"]) == (
            status,
            True,
        )
    order = {"job_type": "simulate_map", "parameters": {}, "inputs": {}}
    answer = owner.api("POST", f"/projects/{project.json()['id']}/jobs", order)
    assert (answer.status_code, "jobs are waiting" in answer.json()["error"]) == (409, True)
