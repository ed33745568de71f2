"""Space is freed and the recipe kept: large files go, all else of the job stays, and what needs them is refused."""

import pytest

from cryocloud.web.audit.models import Tombstone
from cryocloud.web.core.places import result_folder
from cryocloud.web.operations.replay import replay
from cryocloud.web.organizations.models import Role
from cryocloud.web.projects.models import Project
from cryocloud.web.results.models import Artifact
from cryocloud.web.runs.models import Job
from cryocloud.web.trash.models import Deletion
from cryocloud.web.trash.tasks import empty_trash
from web.trash.conftest import FILES, make_job
from web_data import bytes_of, run_tasks

pytestmark = pytest.mark.django_db(transaction=True)
STACK = "particles.mrcs"
REFINEMENT = {"mask_diameter_angstrom": 100}


@pytest.fixture
def chain(owner, home):
    """Picks, their extraction, its classification and the selection."""
    project = Project.unscoped.create(
        organization=owner.organization, created_by_id=owner.user.pk, name="Apoferritin"
    )
    jobs, reads = [], None
    for job_type in ("pick", "extract", "class2d", "select2d"):
        job = make_job(owner, project, job_type=job_type)
        if reads:
            job.inputs = {
                "input": f"job:{reads.pk}/{'picks' if reads.job_type == 'pick' else 'particles'}.star"
            }
            job.save()
        jobs.append(job)
        reads = job
    for job in jobs:
        (folder_of(job) / "particles.star").write_text("data_particles")
        (folder_of(job) / "picks.star").write_text("data_")
    return jobs


def folder_of(job):
    return result_folder(job.pk, job.attempts.get().pk)


def used_bytes(member):
    return member.api("GET", f"/organizations/{member.organization.pk}/storage").json()["used_bytes"]


def paths(member, job):
    return {one["path"] for one in member.api("GET", f"/jobs/{job.pk}/artifacts").json()["items"]}


def order(member, job, job_type, file="particles.star"):
    body = {"job_type": job_type, "inputs": {"input": f"job:{job.pk}/{file}"}}
    return member.api("POST", f"/projects/{job.project_id}/jobs", body)


def test_the_stack_goes_through_the_trash_and_comes_back(owner, chain):
    extract = chain[1]
    stack = Artifact.unscoped.get(job=extract, path=STACK)
    page = owner.client.get(f"/jobs/{extract.pk}/free/").content.decode()
    assert STACK in page and "2 min 00 s" in page and "Free the space" in page
    before = used_bytes(owner)
    assert owner.client.post(f"/jobs/{extract.pk}/free/").status_code == 302
    assert used_bytes(owner) == before, "the trash counts"
    assert paths(owner, extract) == set(FILES) - {STACK}
    assert owner.api("GET", f"/artifacts/{stack.pk}/content").status_code == 404
    for address in (f"/jobs/{extract.pk}/", f"/jobs/{extract.pk}/files/"):
        assert "deleted on" in owner.client.get(address).content.decode()
    assert (
        "images deleted to free space"
        in owner.client.get(f"/projects/{extract.project_id}/storage/").content.decode()
    )
    again = owner.client.post(f"/jobs/{extract.pk}/free/")
    assert again.status_code == 409 and "freed already" in again.content.decode()
    row = Deletion.unscoped.get()
    assert owner.client.post(f"/trash/{row.pk}/restore/")["Location"] == f"/jobs/{extract.pk}/"
    assert paths(owner, extract) == set(FILES)
    content = bytes_of(owner.api("GET", f"/artifacts/{stack.pk}/content"))
    assert content == b"particles.mrcs of job 2: " * 100
    assert owner.api("GET", f"/jobs/{extract.pk}").json()["freed_at"] is None


def test_after_the_time_of_the_trash_only_the_stack_is_gone(owner, chain, later):
    extract = chain[1]
    size_bytes = Artifact.unscoped.get(job=extract, path=STACK).size_bytes
    before, facts = used_bytes(owner), owner.api("GET", f"/jobs/{extract.pk}").json()
    assert owner.api("POST", f"/jobs/{extract.pk}/free").json()["size_bytes"] == size_bytes
    later(days=7, minutes=1)
    empty_trash()
    run_tasks()
    assert used_bytes(owner) == before - size_bytes
    assert not (folder_of(extract) / STACK).exists() and (folder_of(extract) / "plots/fit.png").exists()
    kept = owner.api("GET", f"/jobs/{extract.pk}").json()
    assert kept["freed_bytes"] == size_bytes and kept["freed_at"]
    for name in ("parameters", "inputs", "metrics", "seed", "decisions", "state"):
        assert kept[name] == facts[name]


def test_what_would_read_the_images_is_refused_with_the_remedy(owner, chain):
    _, extract, classes, selection = chain
    assert order(owner, selection, "class2d").status_code == 201
    Job.unscoped.filter(state=Job.State.QUEUED).update(state=Job.State.CANCELLED)
    owner.api("POST", f"/jobs/{extract.pk}/free")
    for source in (extract, classes, selection):
        refused = order(owner, source, "class2d")
        assert refused.status_code == 422, source.job_type
        assert "images of job 2 were deleted to free space. Restore" in refused.json()["fields"]["input"]
    assert order(owner, classes, "select2d").status_code == 201, "needs the table only"


def test_one_click_orders_the_same_again(owner, chain):
    extract = chain[1]
    Job.unscoped.filter(pk=extract.pk).update(parameters={"box_size_px": 128}, seed=7)
    owner.api("POST", f"/jobs/{extract.pk}/free")
    assert f'action="/jobs/{extract.pk}/again/"' in owner.client.get(f"/jobs/{extract.pk}/").content.decode()
    answer = owner.client.post(f"/jobs/{extract.pk}/again/")
    made = Job.unscoped.get(cloned_from_id=extract.pk)
    assert answer["Location"] == f"/jobs/{made.pk}/"
    assert made.parameters["box_size_px"] == 128 and made.seed == 7 and made.inputs == extract.inputs


def test_not_while_a_job_reads_it_and_not_where_nothing_can_be_made_again(
    owner, chain, make_member, stranger
):
    pick, extract, classes, _ = chain
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    assert viewer.api("POST", f"/jobs/{extract.pk}/free").status_code == 403
    assert viewer.client.post(f"/jobs/{extract.pk}/again/").status_code == 403
    assert stranger.api("POST", f"/jobs/{extract.pk}/free").status_code == 404
    for job in (pick, classes):
        refused = owner.api("POST", f"/jobs/{job.pk}/free")
        assert refused.status_code == 409 and "no large files" in refused.json()["error"]
    Job.unscoped.filter(pk=classes.pk).update(state=Job.State.RUNNING)
    refused = owner.api("POST", f"/jobs/{extract.pk}/free")
    assert refused.status_code == 409 and "Job 3 has not ended" in refused.json()["error"]


def test_a_deleted_job_takes_what_was_freed_of_it_along(owner, chain, home):
    extract = chain[1]
    freed = owner.api("POST", f"/jobs/{extract.pk}/free").json()
    gone = owner.api("POST", f"/jobs/{extract.pk}/trash", {"along": True}).json()
    refused = owner.api("POST", f"/trash/{freed['id']}/restore")
    assert refused.status_code == 409 and "job itself is in the trash" in refused.json()["error"]
    owner.api("DELETE", f"/trash/{gone['id']}")
    run_tasks()
    assert not Deletion.unscoped.exists() and not (home / "results" / extract.pk).exists()
    assert Artifact.with_trash.count() == len(FILES)


def test_a_restored_backup_does_not_bring_freed_files_back(owner, chain):
    replay()
    extract = chain[1]
    row = Artifact._base_manager.values().get(job=extract, path=STACK)
    buried = set(Tombstone.objects.values_list("pk", flat=True))
    deletion = owner.api("POST", f"/jobs/{extract.pk}/free").json()
    owner.api("DELETE", f"/trash/{deletion['id']}")
    run_tasks()
    Artifact._base_manager.create(**row)
    Job.unscoped.update(freed_at=None, freed_bytes=0)
    (folder_of(extract) / STACK).write_bytes(b"back")
    Tombstone.objects.exclude(pk__in=buried).delete()
    replay()
    assert not (folder_of(extract) / STACK).exists() and paths(owner, extract) == set(FILES) - {STACK}
    assert owner.api("GET", f"/jobs/{extract.pk}").json()["freed_bytes"] == row["size_bytes"]
