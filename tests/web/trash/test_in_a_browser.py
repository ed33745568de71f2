"""Deleting a project and undoing it, and the storage pages, in Chromium: wide and narrow, light and dark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.db import connection

from cryocloud.web.data.services import create_dataset
from cryocloud.web.projects.models import Project
from platform_server import serving
from web.trash.conftest import make_job, make_project
from web_data import add_file

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTHS = (1280, 360)
SCHEMES = ("light", "dark")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium"),
]


@pytest.fixture
def server(transactional_db, home):
    with serving(home, str(connection.settings_dict["NAME"])) as served:
        yield served


@pytest.fixture
def browser(monkeypatch):
    """Playwright runs an event loop in this thread; the test uses the database beside it."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser, owner, server):
    def start(width, scheme):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, base_url=server.address
        )
        context.set_default_timeout(120_000)
        cookie = owner.client.cookies["session"].value
        context.add_cookies([{"name": "session", "value": cookie, "url": server.address}])
        page = context.new_page()
        page.problems = []
        page.on("console", lambda said: said.type == "error" and page.problems.append(said.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        return page

    return start


def look(page, name):
    """Nothing is wider than the window; with SCREENSHOTS=folder the page is kept as a picture."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name}: {wide} px too wide"
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        size = page.viewport_size["width"]
        scheme = "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
        page.screenshot(path=f"{folder}/{name}-{size}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_project_is_deleted_and_comes_back(open_page, owner, width, scheme):
    project = make_project(owner, runs=2, jobs=3)
    make_project(owner, runs=1, jobs=1, name="Ribosome 70S, time series at 4 °C")
    page = open_page(width, scheme)
    page.goto(f"/projects/{project.pk}/")
    page.get_by_text("Project", exact=True).click()
    look(page, "project")
    page.get_by_role("link", name="Delete").click()
    page.wait_for_url("**/delete/")
    look(page, "delete")
    page.get_by_role("button", name="Move to the trash").click()
    page.wait_for_url("**/trash/")
    look(page, "trash")
    page.goto("/dashboard/")
    assert "Apoferritin" not in page.inner_text("main")
    look(page, "dashboard")
    page.goto(f"/projects/{project.pk}/")
    assert "This project is in the trash" in page.inner_text("main")
    look(page, "in_trash")
    page.get_by_role("button", name="Restore").click()
    page.wait_for_selector("text=is back")
    assert "Job graph" in page.inner_text("main")
    assert Project.unscoped.filter(pk=project.pk).exists()
    # The page in place of a missing one is a 404, which the browser notes.
    assert [one for one in page.problems if "404" not in one] == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_storage_pages(open_page, owner, width, scheme):
    project = make_project(owner, runs=2, jobs=3)
    make_project(owner, runs=1, jobs=1, name="Ribosome 70S, time series at 4 °C")
    last = make_job(owner, project, reads=project.jobs.latest("number"))
    page = open_page(width, scheme)
    page.goto("/dashboard/")
    page.get_by_role("link", name="What takes the storage").click()
    page.wait_for_url("**/storage/")
    look(page, "storage")
    page.get_by_role("link", name="Apoferritin").click()
    page.wait_for_url("**/projects/*/storage/")
    look(page, "project_storage")
    page.get_by_role("link", name=f"Delete #{last.number - 1}").click()
    page.wait_for_url("**/jobs/*/delete/")
    look(page, "delete_job")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Move to the trash").click()
    page.wait_for_url("**/trash/")
    assert project.jobs.count() == 5
    assert page.problems == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_files_of_a_dataset_and_the_space_of_a_job(open_page, owner, width, scheme):
    dataset = create_dataset(actor=owner.actor, organization=owner.organization, name="Grid 1")
    for number in (1, 2, 3):
        add_file(owner, dataset, f"grid/FoilHole_2468_Data_{number}_aligned_mic_DW.mrc", b"x" * 1000)
    project = make_project(owner, runs=0)
    job = make_job(owner, project, job_type="extract")
    page = open_page(width, scheme)
    page.goto(f"/datasets/{dataset.pk}/")
    for number in (1, 2):
        page.get_by_label(f"Select grid/FoilHole_2468_Data_{number}_aligned_mic_DW.mrc").check()
    look(page, "files")
    page.get_by_role("button", name="Delete selected").click()
    page.wait_for_url("**/files/delete/")
    look(page, "delete_files")
    page.get_by_role("button", name="Move to the trash").click()
    page.wait_for_selector("text=are in the trash for 7 days")
    assert dataset.files.count() == 1
    page.goto(f"/projects/{project.pk}/storage/")
    page.get_by_role("link", name="Free the space of").click()
    page.wait_for_url("**/free/")
    look(page, "free")
    page.get_by_role("button", name="Free the space").click()
    page.wait_for_url(f"**/jobs/{job.pk}/")
    assert "were deleted on" in page.inner_text("main")
    look(page, "freed")
    page.goto("/trash/")
    look(page, "trash_of_all")
    page.get_by_role("button", name="Restore 2 files of Grid 1").click()
    page.wait_for_url(f"**/datasets/{dataset.pk}/")
    assert dataset.files.count() == 3
    assert page.problems == []
