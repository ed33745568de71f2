"""Deleting a project and undoing it, and the storage pages, in Chromium: wide and narrow, light and dark."""

from __future__ import annotations

import pytest
from django.db import connection

from cryocloud.web.data.services import create_dataset
from cryocloud.web.projects.models import Project
from platform_server import serving
from web.browsing import looking
from web.trash.conftest import make_job, make_project
from web_data import add_file

LOOKS = [(width_px, scheme) for width_px in (1280, 360) for scheme in ("light", "dark")]
pytestmark = pytest.mark.slow


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def tab(request, transactional_db, owner, home, monkeypatch):
    # Playwright runs an event loop in this thread; the tests use the database beside it.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    width_px, scheme = request.param
    context = {"viewport": {"width": width_px, "height": 800}, "color_scheme": scheme}
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(served.address, owner.client, **context) as look,
    ):
        yield look
        # The page of a thing in the trash is answered with 404.
        assert [said for said in look.found() if "404" not in said] == []


def test_a_project_is_deleted_and_comes_back(tab, owner):
    project = make_project(owner, runs=2, jobs=3)
    make_project(owner, runs=1, jobs=1, name="Ribosome 70S, time series at 4 °C")
    page = tab.page
    page.goto(f"/projects/{project.pk}/")
    page.get_by_text("Project", exact=True).click()
    tab.picture("project")
    page.get_by_role("link", name="Delete").click()
    page.wait_for_url("**/delete/")
    tab.picture("delete")
    page.get_by_role("button", name="Move to the trash").click()
    page.wait_for_url("**/trash/")
    tab.picture("trash")
    page.goto("/dashboard/")
    assert "Apoferritin" not in page.inner_text("main")
    tab.picture("dashboard")
    page.goto(f"/projects/{project.pk}/")
    assert "This project is in the trash" in page.inner_text("main")
    tab.picture("in_trash")
    page.get_by_role("button", name="Restore").click()
    page.wait_for_selector("text=is back")
    assert "Job graph" in page.inner_text("main")
    assert Project.unscoped.filter(pk=project.pk).exists()
    # The page in place of a missing one is a 404, which the browser notes.


def test_the_storage_pages(tab, owner):
    project = make_project(owner, runs=2, jobs=3)
    make_project(owner, runs=1, jobs=1, name="Ribosome 70S, time series at 4 °C")
    last = make_job(owner, project, reads=project.jobs.latest("number"))
    page = tab.page
    page.goto("/dashboard/")
    page.get_by_role("link", name="What takes the storage").click()
    page.wait_for_url("**/storage/")
    tab.picture("storage")
    page.get_by_role("link", name="Apoferritin").click()
    page.wait_for_url("**/projects/*/storage/")
    tab.picture("project_storage")
    page.get_by_role("link", name=f"Delete #{last.number - 1}").click()
    page.wait_for_url("**/jobs/*/delete/")
    tab.picture("delete_job")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Move to the trash").click()
    page.wait_for_url("**/trash/")
    assert project.jobs.count() == 5


def test_files_of_a_dataset_and_the_space_of_a_job(tab, owner):
    dataset = create_dataset(actor=owner.actor, organization=owner.organization, name="Grid 1")
    for number in (1, 2, 3):
        add_file(owner, dataset, f"grid/FoilHole_2468_Data_{number}_aligned_mic_DW.mrc", b"x" * 1000)
    project = make_project(owner, runs=0)
    job = make_job(owner, project, job_type="extract")
    page = tab.page
    page.goto(f"/datasets/{dataset.pk}/")
    for number in (1, 2):
        page.get_by_label(f"Select grid/FoilHole_2468_Data_{number}_aligned_mic_DW.mrc").check()
    tab.picture("files")
    page.get_by_role("button", name="Delete selected").click()
    page.wait_for_url("**/files/delete/")
    tab.picture("delete_files")
    page.get_by_role("button", name="Move to the trash").click()
    page.wait_for_selector("text=are in the trash for 7 days")
    assert dataset.files.count() == 1
    page.goto(f"/projects/{project.pk}/storage/")
    page.get_by_role("link", name="Free the space of").click()
    page.wait_for_url("**/free/")
    tab.picture("free")
    page.get_by_role("button", name="Free the space").click()
    page.wait_for_url(f"**/jobs/{job.pk}/")
    assert "were deleted on" in page.inner_text("main")
    tab.picture("freed")
    page.goto("/trash/")
    tab.picture("trash_of_all")
    page.get_by_role("button", name="Restore 2 files of Grid 1").click()
    page.wait_for_url(f"**/datasets/{dataset.pk}/")
    assert dataset.files.count() == 3
