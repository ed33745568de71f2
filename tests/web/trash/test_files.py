"""Single files of a dataset are deleted and come back; jobs find them no longer, and none that a job reads goes."""

import pytest

from cryocloud.web.audit.models import Tombstone
from cryocloud.web.core.places import blob_file, dataset_folder
from cryocloud.web.data.models import DatasetFile, StoredObject
from cryocloud.web.data.services import create_dataset, purge_dataset, trash_dataset
from cryocloud.web.operations.replay import replay
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.tasks import empty_trash, forget_files_of_purged_datasets
from web.trash.conftest import bytes_below, make_job
from web_data import add_file, bytes_of, run_tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def dataset(owner, home):
    made = create_dataset(actor=owner.actor, organization=owner.organization, name="Grid 1")
    for name in "abc":
        add_file(owner, made, f"grid/{name}.mrc", name.encode() * 1000)
    run_tasks()
    return made


@pytest.fixture
def files(dataset):
    return list(dataset.files.order_by("path"))


def delete(member, dataset, files, **others):
    return member.client.post(
        f"/datasets/{dataset.pk}/files/delete/", {"file": [file.pk for file in files], **others}
    )


def names(dataset):
    return sorted(path.name for path in dataset_folder(dataset.pk).rglob("*.mrc"))


def used(member):
    return member.api("GET", f"/organizations/{member.organization.pk}/storage").json()


def test_two_files_are_deleted_after_a_question_and_restored_as_they_were(owner, dataset, files):
    sums = {file.path: file.stored.sha256 for file in files}
    question = delete(owner, dataset, files[:2]).content.decode()
    assert "Delete 2 files?" in question and "grid/a.mrc" in question and "grid/c.mrc" not in question
    assert dataset.files.count() == 3
    before = used(owner)
    done = owner.client.post(
        f"/datasets/{dataset.pk}/files/delete/",
        {"file": [files[0].pk, files[1].pk], "confirmed": "yes"},
        follow=True,
    ).content.decode()
    assert "“2 files of Grid 1” are in the trash for 7 days" in done
    assert "grid/a.mrc" not in done and names(dataset) == ["c.mrc"]
    assert used(owner) == before, "the trash counts"
    assert owner.client.get(f"/files/{files[0].pk}/").status_code == 404
    assert owner.client.get(f"/files/{files[0].pk}/download/").status_code == 404
    assert owner.api("GET", f"/files/{files[0].pk}").status_code == 404
    assert len(owner.api("GET", f"/datasets/{dataset.pk}/files").json()["items"]) == 1
    listed = owner.client.get("/datasets/").context["page"].object_list[0]
    assert (listed.file_count, listed.size_bytes) == (1, 1000)
    row = Deletion.unscoped.get()
    assert "2 files of the dataset Grid 1" in owner.client.get("/trash/").content.decode()
    assert owner.client.post(f"/trash/{row.pk}/restore/")["Location"] == f"/datasets/{dataset.pk}/"
    assert names(dataset) == ["a.mrc", "b.mrc", "c.mrc"]
    listed = owner.api("GET", f"/datasets/{dataset.pk}/files").json()["items"]
    assert {one["path"]: one["sha256"] for one in listed} == sums
    assert bytes_of(owner.api("GET", f"/files/{files[0].pk}/content")) == b"a" * 1000


def test_after_the_time_of_the_trash_no_byte_is_left(owner, dataset, files, home, later):
    answer = owner.api("POST", f"/datasets/{dataset.pk}/files/trash", {"files": [file.pk for file in files]})
    assert answer.status_code == 200 and answer.json()["size_bytes"] == 3000
    later(days=7, minutes=1)
    empty_trash()
    run_tasks()
    assert bytes_below(home) == 0
    assert not DatasetFile.with_trash.exists() and not StoredObject.unscoped.exists()
    assert used(owner)["used_bytes"] == used(owner)["used_files"] == 0
    assert not Deletion.unscoped.exists()


@pytest.mark.parametrize("reads", ["file:{file}", "dataset:{dataset}"])
def test_a_file_that_a_waiting_job_reads_stays(owner, dataset, files, reads):
    project = Project.unscoped.create(
        organization=owner.organization, created_by_id=owner.user.pk, name="Apoferritin"
    )
    job = make_job(owner, project, state=Job.State.QUEUED)
    job.inputs = {"input": reads.format(file=files[0].pk, dataset=dataset.pk)}
    job.save()
    refused = delete(owner, dataset, files[:1], confirmed="yes")
    assert refused.status_code == 409 and "is being read by job 1 (ctf)" in refused.content.decode()
    assert "Move to the trash" not in refused.content.decode()
    if reads.startswith("file"):
        assert delete(owner, dataset, files[1:], confirmed="yes").status_code == 302
    assert files[0].path in dataset.files.values_list("path", flat=True)


def test_a_new_file_may_take_the_name_and_the_old_one_waits(owner, dataset, files, home):
    delete(owner, dataset, files[:1], confirmed="yes")
    add_file(owner, dataset, "grid/a.mrc", b"new")
    row = Deletion.unscoped.get()
    refused = owner.api("POST", f"/trash/{row.pk}/restore")
    assert refused.status_code == 409 and "grid/a.mrc has been added meanwhile" in refused.json()["error"]
    owner.api("DELETE", f"/trash/{row.pk}")
    run_tasks()
    assert (dataset_folder(dataset.pk) / "grid/a.mrc").read_bytes() == b"new"
    assert bytes_below(home) == 2 * (3 + 1000 + 1000)


def test_they_go_with_their_dataset(owner, dataset, files, home):
    delete(owner, dataset, files[:1], confirmed="yes")
    row = Deletion.unscoped.get()
    trash_dataset(actor=owner.actor, dataset=dataset)
    refused = owner.api("POST", f"/trash/{row.pk}/restore")
    assert (
        refused.status_code == 409
        and "Grid 1” is in the trash; restore that first" in refused.json()["error"]
    )
    purge_dataset(actor=owner.actor, dataset=dataset)
    run_tasks()
    forget_files_of_purged_datasets()
    assert bytes_below(home) == 0 and not DatasetFile.with_trash.exists() and not Deletion.unscoped.exists()


def test_a_restored_backup_does_not_bring_purged_files_back(owner, dataset, files):
    replay()
    stored = files[0].stored
    rows = [
        (model, model._base_manager.values().get(pk=pk))
        for model, pk in ((StoredObject, stored.pk), (DatasetFile, files[0].pk))
    ]
    buried = set(Tombstone.objects.values_list("pk", flat=True))
    delete(owner, dataset, files[:1], confirmed="yes")
    owner.api("DELETE", f"/trash/{Deletion.unscoped.get().pk}")
    run_tasks()
    for model, row in rows:
        model._base_manager.update_or_create(pk=row["id"], defaults=row)
    blob_file(stored.key).parent.mkdir(parents=True, exist_ok=True)
    blob_file(stored.key).write_bytes(b"a" * 1000)
    (dataset_folder(dataset.pk) / "grid/a.mrc").hardlink_to(blob_file(stored.key))
    Tombstone.objects.exclude(pk__in=buried).delete()
    assert replay().repeated == 1
    assert not blob_file(stored.key).exists() and names(dataset) == ["b.mrc", "c.mrc"]
    assert DatasetFile.with_trash.count() == 2


def test_who_may_and_what_is_refused(owner, dataset, files, make_member, stranger):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    other = create_dataset(actor=owner.actor, organization=owner.organization, name="Grid 2")
    assert delete(viewer, dataset, files, confirmed="yes").status_code == 403
    assert delete(stranger, dataset, files, confirmed="yes").status_code == 404
    assert "Delete selected" not in viewer.client.get(f"/datasets/{dataset.pk}/").content.decode()
    assert delete(owner, other, files, confirmed="yes").status_code == 404, "files of another dataset"
    nothing = delete(owner, dataset, [])
    assert nothing.status_code == 422 and "Select between 1 and 1,000 files" in nothing.content.decode()
    assert dataset.files.count() == 3
