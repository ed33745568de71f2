"""Projects, runs and jobs go to the trash, come back as they were, and are removed for good when their time is over."""

import hashlib

import pytest
from django.apps import apps

from cryocloud.web.audit.models import AuditEvent, Tombstone
from cryocloud.web.core.errors import Conflict
from cryocloud.web.core.models import TenantRecord
from cryocloud.web.data.services import create_dataset
from cryocloud.web.edits.models import Draft, KeptEdits
from cryocloud.web.metering.models import UsageRecord
from cryocloud.web.operations.disk_use import disk_use
from cryocloud.web.operations.replay import replay
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Attempt, Job, Run
from cryocloud.web.trash.files import move_files_to_trash
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.services import purge_deletion
from cryocloud.web.trash.tasks import empty_trash
from web.trash.conftest import bytes_below, hashes_below, make_job, make_project
from web_data import add_file, bytes_of, run_tasks

pytestmark = pytest.mark.django_db(transaction=True)


def storage_used(member):
    """As the meter of the pages shows it."""
    return member.api("GET", f"/organizations/{member.organization.pk}/storage").json()["used_bytes"]


def trash(member, kind, object_id, **body):
    answer = member.api("POST", f"/{kind}s/{object_id}/trash", body or None if kind == "project" else body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def restore(member, deletion):
    answer = member.api("POST", f"/trash/{deletion['id']}/restore")
    assert answer.status_code == 204, answer.content


def artifact_hashes(member, project):
    """What everybody downloads, by name, with the checksum of the bytes that came."""
    found = {}
    for job in member.api("GET", f"/jobs?project_id={project.pk}&limit=500").json()["items"]:
        for row in member.api("GET", f"/jobs/{job['id']}/artifacts").json()["items"]:
            content = bytes_of(member.api("GET", f"/artifacts/{row['id']}/content"))
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
            found[job["number"], row["path"]] = row["sha256"]
    return found


@pytest.mark.parametrize("runs", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_project_of_many_jobs_is_deleted_restored_and_purged(owner, home, later, runs):
    other = make_project(owner, runs=1, jobs=2, name="Ribosome")
    kept_bytes, kept_on_disk = storage_used(owner), bytes_below(home)
    project = make_project(owner, runs=runs, jobs=10)
    before, on_disk = artifact_hashes(owner, project), hashes_below(home)
    used = storage_used(owner)
    assert len(before) == 40 * runs and used > kept_bytes

    page = owner.client.get(f"/projects/{project.pk}/delete/").content.decode()
    assert f"<dt>Jobs</dt><dd>{10 * runs}</dd>" in page and f"<dt>Workflows</dt><dd>{runs}</dd>" in page
    answer = owner.client.post(f"/projects/{project.pk}/delete/", follow=True)
    assert "is in the trash for 7 days" in answer.content.decode()
    assert storage_used(owner) == used, "the trash counts"
    assert owner.api("GET", f"/jobs?project_id={project.pk}").json()["items"] == []

    row = Deletion.unscoped.get()
    answer = owner.client.post(f"/trash/{row.pk}/restore/", follow=True)
    assert answer.status_code == 200 and "is back" in answer.content.decode()
    assert artifact_hashes(owner, project) == before and hashes_below(home) == on_disk
    assert storage_used(owner) == used

    owner.client.post(f"/projects/{project.pk}/delete/")
    later(days=6, hours=23)
    empty_trash()
    run_tasks()
    assert hashes_below(home) == on_disk, "its time is not over"
    later(hours=2)
    empty_trash()
    run_tasks()
    assert bytes_below(home) == kept_on_disk
    assert storage_used(owner) == kept_bytes
    assert not Project.with_trash.filter(pk=project.pk).exists() and not Deletion.unscoped.exists()
    assert UsageRecord.unscoped.count() == 10 * runs + 2, "what was used stays"
    assert len(artifact_hashes(owner, other)) == 8
    assert AuditEvent.objects.filter(verb="project.purge", detail__jobs=10 * runs).count() == 1


def test_nothing_of_it_is_found_anywhere(owner):
    project = make_project(owner, runs=1, jobs=3)
    other = make_project(owner, runs=0, name="Other")
    run, jobs = project.runs.get(), list(project.jobs.order_by("number"))
    artifact = Artifact.unscoped.filter(job=jobs[0]).first()
    addresses = [
        f"/projects/{project.pk}/", f"/projects/{project.pk}/work/", f"/runs/{run.pk}/", f"/jobs/{jobs[0].pk}/",
        f"/jobs/{jobs[0].pk}/files/", f"/jobs/{jobs[0].pk}/look/curves/", f"/artifacts/{artifact.pk}/download/",
        f"/jobs/{jobs[0].pk}/plots/fit.png/", f"/jobs/{jobs[0].pk}/previews/map.png", f"/jobs/{jobs[0].pk}/log/",
        f"/jobs/{jobs[0].pk}/files/download/", f"/compare/?a={jobs[0].pk}", f"/jobs/{jobs[0].pk}/live/",
    ]  # fmt: skip
    assert {owner.client.get(one).status_code for one in addresses} == {200}
    trash(owner, "project", project.pk)
    assert {owner.client.get(one).status_code for one in addresses} == {404}
    for path in (
        f"/projects/{project.pk}", f"/runs/{run.pk}", f"/jobs/{jobs[0].pk}", f"/artifacts/{artifact.pk}",
        f"/artifacts/{artifact.pk}/content", f"/jobs/{jobs[0].pk}/archive", f"/jobs/{jobs[0].pk}/plots",
    ):  # fmt: skip
        assert owner.api("GET", path).status_code == 404, path
    for path in ("/jobs", "/runs"):
        assert owner.api("GET", path).json()["items"] == []
    assert [one["id"] for one in owner.api("GET", "/projects").json()["items"]] == [other.pk]
    assert "Apoferritin" not in owner.client.get("/dashboard/").content.decode()
    order = {"job_type": "ctf", "inputs": {"input": f"job:{jobs[0].pk}/micrographs.star"}}
    assert owner.api("POST", f"/projects/{other.pk}/jobs", order).status_code == 404
    assert owner.api("POST", f"/projects/{project.pk}/jobs", order).status_code == 404


def test_its_page_says_that_it_is_in_the_trash_and_offers_the_way_back(owner, make_member, stranger):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    project = make_project(owner, runs=1, jobs=2)
    job = project.jobs.earliest("number")
    trash(owner, "project", project.pk)
    for address, words in (
        (f"/projects/{project.pk}/", "This project is in the trash"),
        (f"/jobs/{job.pk}/", "This job is in the trash"),
    ):
        page = owner.client.get(address)
        assert (
            page.status_code == 404
            and words in page.content.decode()
            and "Restore “Apoferritin”" in page.content.decode()
        )
        seen = viewer.client.get(address).content.decode()
        assert words in seen and '<form method="post" action="/trash/' not in seen
        assert "Apoferritin" not in stranger.client.get(address).content.decode()


def test_a_job_whose_results_others_were_made_from_goes_only_with_them(owner):
    project = make_project(owner, runs=1, jobs=4)
    jobs = list(project.jobs.order_by("number"))
    page = owner.client.get(f"/jobs/{jobs[1].pk}/delete/").content.decode()
    assert (
        f"/jobs/{jobs[2].pk}/" in page
        and f"/jobs/{jobs[3].pk}/" in page
        and f"/jobs/{jobs[0].pk}/" not in page
    )
    refused = owner.api("POST", f"/jobs/{jobs[1].pk}/trash", {})
    assert refused.status_code == 409 and "Job 3, job 4 were made from these" in refused.json()["error"]
    kept = owner.client.post(f"/jobs/{jobs[1].pk}/delete/")
    assert kept.status_code == 409 and "Job 3, job 4 were made" in kept.content.decode()
    assert project.jobs.count() == 4
    assert owner.client.post(f"/jobs/{jobs[1].pk}/delete/", {"along": "yes"}).status_code == 302
    assert [job.number for job in project.jobs.all()] == [1]
    restore(owner, owner.api("GET", f"/organizations/{owner.organization.pk}/trash").json()["items"][0])
    assert project.jobs.count() == 4


def test_what_has_not_ended_is_cancelled_first(owner):
    project = make_project(owner, runs=1, jobs=1)
    run = project.runs.get()
    waiting = make_job(owner, project, state=Job.State.QUEUED, reads=project.jobs.earliest("number"))
    for kind, target in (("project", project), ("run", run), ("job", waiting)):
        refused = owner.api("POST", f"/{kind}s/{target.pk}/trash", {"along": True})
        assert refused.status_code == 409 and "Job 2 has not ended. Cancel first" in refused.json()["error"]
    assert "Cancel first" in owner.client.get(f"/projects/{project.pk}/delete/").content.decode()
    owner.api("POST", f"/jobs/{waiting.pk}/cancel")
    Run.unscoped.filter(pk=run.pk).update(state=Run.State.WAITING)
    refused = owner.api("POST", f"/jobs/{project.jobs.earliest('number').pk}/trash", {"along": True})
    assert refused.status_code == 409 and "Run 1 has not ended" in refused.json()["error"]
    Run.unscoped.update(state=Run.State.FAILED)
    trash(owner, "project", project.pk)


def test_a_run_without_some_of_its_jobs_does_not_go_on(owner):
    project = make_project(owner, runs=1, jobs=3)
    run, last = project.runs.get(), project.jobs.latest("number")
    Run.unscoped.update(state=Run.State.FAILED)
    deletion = trash(owner, "job", last.pk)
    assert "1 job of this run was deleted" in owner.client.get(f"/runs/{run.pk}/").content.decode()
    refused = owner.api("POST", f"/runs/{run.pk}/retry")
    assert refused.status_code == 409 and "were deleted" in refused.json()["error"]
    restore(owner, deletion)
    run.refresh_from_db()
    assert run.jobs_deleted == 0


def test_numbers_of_jobs_in_the_trash_are_not_given_again(owner):
    project = make_project(owner, runs=1, jobs=3)
    trash(owner, "job", project.jobs.latest("number").pk)
    first = project.jobs.earliest("number")
    order = {"job_type": "curate", "inputs": {"input": f"job:{first.pk}/micrographs.star"}}
    made = owner.api("POST", f"/projects/{project.pk}/jobs", order)
    assert made.status_code == 201 and made.json()["number"] == 4, made.content


def test_what_belongs_to_something_in_the_trash_comes_back_after_it(owner):
    project = make_project(owner, runs=1, jobs=3)
    jobs = list(project.jobs.order_by("number"))
    third = trash(owner, "job", jobs[2].pk)
    second = trash(owner, "job", jobs[1].pk)
    whole = trash(owner, "project", project.pk)
    for deletion, words in ((third, "project “Apoferritin”"), (second, "project “Apoferritin”")):
        refused = owner.api("POST", f"/trash/{deletion['id']}/restore")
        assert refused.status_code == 409 and words in refused.json()["error"]
    restore(owner, whole)
    refused = owner.api("POST", f"/trash/{third['id']}/restore")
    assert refused.status_code == 409 and "made from job 2" in refused.json()["error"]
    restore(owner, second)
    restore(owner, third)
    assert project.jobs.count() == 3


@pytest.mark.parametrize("kind", ["project", "run"])
def test_deleting_for_good_takes_along_what_lies_in_the_trash_within(owner, home, kind):
    project = make_project(owner, runs=1, jobs=3)
    trash(owner, "job", project.jobs.latest("number").pk)
    whole = trash(owner, kind, project.pk if kind == "project" else project.runs.get().pk)
    assert "Job 3" in owner.client.get(f"/trash/{whole['id']}/purge/").content.decode()
    assert owner.client.post(f"/trash/{whole['id']}/purge/").status_code == 302
    refused = owner.api("POST", f"/trash/{whole['id']}/restore")
    assert refused.status_code == 409 and "being deleted" in refused.json()["error"]
    run_tasks()
    assert bytes_below(home) == 0
    assert not Job.with_trash.exists() and not Deletion.unscoped.exists() and not Attempt.unscoped.exists()
    assert Project.with_trash.exists() == (kind == "run")


def test_roles(owner, make_member):
    project = make_project(owner, runs=1, jobs=2)
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    editor = make_member(owner.organization, Role.EDITOR, name="edda")
    job = project.jobs.latest("number")
    for person, kind, target in (
        (viewer, "job", job),
        (viewer, "project", project),
        (editor, "project", project),
    ):
        assert person.api("POST", f"/{kind}s/{target.pk}/trash", {}).status_code == 403
        assert person.client.get(f"/{kind}s/{target.pk}/delete/").status_code == 403
    assert "Delete" not in viewer.client.get(f"/jobs/{job.pk}/").content.decode()
    assert "/delete/" not in editor.client.get(f"/projects/{project.pk}/").content.decode()
    deletion = trash(editor, "job", job.pk)
    assert viewer.api("POST", f"/trash/{deletion['id']}/restore").status_code == 403
    assert editor.api("DELETE", f"/trash/{deletion['id']}").status_code == 403
    assert "Restore" not in viewer.client.get("/trash/").content.decode()
    restore(editor, deletion)
    whole = trash(owner, "project", project.pk)
    assert editor.api("POST", f"/trash/{whole['id']}/restore").status_code == 403
    assert owner.api("DELETE", f"/trash/{whole['id']}").status_code == 202


def test_the_trash_of_one_organization_is_nobody_elses(owner, stranger):
    project = make_project(owner, runs=1, jobs=1)
    deletion = trash(owner, "project", project.pk)
    assert stranger.api("POST", f"/trash/{deletion['id']}/restore").status_code == 404
    assert stranger.api("DELETE", f"/trash/{deletion['id']}").status_code == 404
    assert stranger.api("GET", f"/organizations/{owner.organization.pk}/trash").status_code == 404
    assert "Apoferritin" not in stranger.client.get("/trash/").content.decode()


@pytest.mark.parametrize("kind", ["project", "run", "job"])
def test_a_restored_backup_does_not_bring_purged_results_back(owner, home, kind):
    replay()
    project = make_project(owner, runs=2, jobs=2)
    target = {"project": project, "run": project.runs.first(), "job": project.jobs.earliest("number")}[kind]
    kinds = [model for model in apps.get_models() if issubclass(model, TenantRecord)]
    rows = [(model, list(model._base_manager.values())) for model in kinds]
    files = {
        path: path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "tombstones" not in path.parts
    }
    buried = set(Tombstone.objects.values_list("pk", flat=True))
    deletion = trash(owner, kind, target.pk, **({} if kind == "project" else {"along": True}))
    owner.api("DELETE", f"/trash/{deletion['id']}")
    run_tasks()
    left = {"project": 0, "run": 2, "job": 2}[kind]
    assert Job.with_trash.count() == left

    for model in (Project, Run, Job, Attempt, Artifact):
        for row in dict(rows)[model]:
            model._base_manager.update_or_create(pk=row["id"], defaults=row)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(content)
    Tombstone.objects.exclude(pk__in=buried).delete()
    assert Job.with_trash.count() == 4, "this is what a restore did"
    assert replay().repeated > 0
    assert Job.with_trash.count() == left
    assert not type(target).with_trash.filter(pk=target.pk).exists()
    ids = {str(pk) for pk in Job.with_trash.values_list("pk", flat=True)}
    assert {path.name for path in (home / "results").iterdir()} == ids


def test_edits_by_hand_go_with_the_last_job_that_reads_them(owner):
    project = make_project(owner, runs=0)
    source, *readers = [make_job(owner, project) for _ in range(3)]
    own = {"organization": owner.organization, "project": project, "kind": "picks"}
    kept = KeptEdits.unscoped.create(**own, content={}, created_by_id=owner.user.pk)
    Job.unscoped.filter(pk__in=[job.pk for job in readers]).update(inputs={"edits": f"edits:{kept.pk}"})
    Draft.unscoped.create(**own, source_id=source.pk, user_id=owner.user.pk)
    for job, drafts, edits in ((source, 0, 1), (readers[0], 0, 1), (readers[1], 0, 0)):
        deletion = trash(owner, "job", job.pk)
        assert owner.client.post(f"/trash/{deletion['id']}/purge/").status_code == 302
        run_tasks()
        assert (Draft.unscoped.count(), KeptEdits.unscoped.count()) == (drafts, edits)


def test_purging_a_run_leaves_what_others_have_in_the_trash(owner):
    """A job of the run was made from another run, and went to the trash along with it."""
    project = make_project(owner, runs=2, jobs=1)
    source, reader = project.jobs.order_by("number")
    Job.unscoped.filter(pk=reader.pk).update(inputs={"input": f"job:{source.pk}/micrographs.star"})
    first = trash(owner, "run", source.run_id, along=True)
    second = trash(owner, "run", reader.run_id)
    assert owner.api("DELETE", f"/trash/{second['id']}").status_code == 202
    run_tasks()
    restore(owner, first)
    assert [job.pk for job in project.jobs.all()] == [source.pk]


def test_a_purge_that_comes_too_late_removes_nothing(owner):
    project = make_project(owner, runs=1, jobs=1)
    deletion = Deletion.unscoped.get(pk=trash(owner, "run", project.runs.get().pk)["id"])
    restore(owner, {"id": deletion.pk})
    trash(owner, "project", project.pk)
    with pytest.raises(Conflict, match="not in the trash any more"):
        purge_deletion(actor=owner.actor, deletion=deletion)
    run_tasks()
    assert Project.with_trash.filter(pk=project.pk).exists() and Job.with_trash.count() == 1


def test_the_operator_s_disk_counts_what_lies_in_the_trash(owner):
    """Results and files in the trash take room until they are removed."""
    project = make_project(owner, runs=1, jobs=2)
    dataset = create_dataset(actor=owner.actor, organization=owner.organization, name="Grid 7", profile={})
    file = add_file(owner, dataset, "a.mrc", b"12345")
    before = {use.name: use.size_bytes for use in disk_use()}
    trash(owner, "project", project.pk)
    move_files_to_trash(actor=owner.actor, dataset=dataset, file_ids=[file.pk])
    after = {use.name: use.size_bytes for use in disk_use()}
    del before["database and logs"], after["database and logs"]
    assert before["results of jobs, the trash included"] > 0
    assert after == before | {"of that in the trash": before["of that in the trash"] + 5}
