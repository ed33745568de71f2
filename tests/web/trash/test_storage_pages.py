"""The storage pages say what takes the storage, and their sums are those of the meter."""

import re

import pytest

from cryocloud.web.data.services import create_dataset, trash_dataset
from cryocloud.web.organizations.models import Role
from web.trash.conftest import FILES, WALL_S, make_job, make_project
from web_data import add_file, run_tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stored(owner, home):
    """Two projects, a dataset of 700 kB and one of 300 kB in the trash."""
    large = make_project(owner, runs=2, jobs=3, name="Large")
    make_project(owner, runs=1, jobs=1, name="Small")
    for name, size in (("Grid 1", 700_000), ("Grid 2", 300_000)):
        dataset = create_dataset(actor=owner.actor, organization=owner.organization, name=name)
        add_file(owner, dataset, "a.mrc", b"x" * size)
    run_tasks()
    trash_dataset(actor=owner.actor, dataset=dataset)
    return large


def parts_of(context):
    return {line.title: line.size_bytes for line in context["parts"]}


def used_bytes(member):
    return member.api("GET", f"/organizations/{member.organization.pk}/storage").json()["used_bytes"]


def test_the_parts_add_up_to_the_meter_before_and_after_each_deletion(owner, stored, home):
    def check():
        found = parts_of(owner.client.get("/storage/").context)
        assert sum(found.values()) == used_bytes(owner)
        return found

    before = check()
    assert before["Datasets"] == 700_000 and before["Trash"] == 300_000
    deletion = owner.api("POST", f"/projects/{stored.pk}/trash").json()
    after = check()
    assert after["Trash"] == 300_000 + deletion["size_bytes"]
    assert after["Results of projects"] == before["Results of projects"] - deletion["size_bytes"]
    owner.api("DELETE", f"/trash/{deletion['id']}")
    run_tasks()
    assert check()["Trash"] == 300_000


def test_projects_come_largest_first_with_bars(owner, stored):
    page = owner.client.get("/storage/")
    assert [line.title for line in page.context["projects"]] == ["Large", "Small"]
    assert page.context["projects"][0].share == 1.0
    assert f'href="/projects/{stored.pk}/storage/"' in page.content.decode()


def test_each_job_has_its_size_and_what_it_took(owner, stored):
    make_job(owner, stored)
    page = owner.client.get(f"/projects/{stored.pk}/storage/")
    groups = page.context["groups"]
    assert [len(group.lines) for group in groups] == [3, 3, 1]
    assert groups[-1].title == "Single jobs"
    line = groups[0].lines[0]
    assert line.wall_s == WALL_S and line.cpu_s == 2 * WALL_S and line.size_bytes > 0
    assert "2 min 00 s" in page.content.decode() and line.cpu_hours == "0.07"
    assert len(FILES) * 7 == owner.api("GET", f"/projects/{stored.pk}/deletion").json()["files"]


def test_a_viewer_may_look_and_a_stranger_may_not(owner, stored, make_member, stranger):
    viewer = make_member(owner.organization, Role.VIEWER, name="vera")
    assert viewer.client.get("/storage/").status_code == 200
    page = viewer.client.get(f"/projects/{stored.pk}/storage/").content.decode()
    assert not re.search(r"/delete/", page)
    assert stranger.client.get(f"/projects/{stored.pk}/storage/").status_code == 404
    assert "Large" not in stranger.client.get("/storage/").content.decode()
