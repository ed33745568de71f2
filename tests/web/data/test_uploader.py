"""The upload island in a real browser: folder, pause, a killed server, a new page; and the form without script."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.db import connection

from cryocloud.web.core import places
from cryocloud.web.data.models import DatasetFile, Upload
from platform_server import serving
from web_data import run_tasks

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ISLAND = Path(__file__).parents[3] / "src/cryocloud/web/static/islands/uploader.js"
MIB = 1 << 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium"),
    pytest.mark.skipif(not ISLAND.exists(), reason="the islands are not built (make islands)"),
]


@pytest.fixture
def asynchronous_database(monkeypatch):
    """Playwright runs an event loop in this thread; the test uses the database beside it."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture
def browser(asynchronous_database):
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("given") / "session 7"
    (made / "grid").mkdir(parents=True)
    for number in range(6):
        (made / "grid" / f"m{number}.bin").write_bytes(os.urandom(3 * MIB + number))
    (made / "notes μ.txt").write_text("cold")
    (made / "empty.txt").touch()
    (made / ".DS_Store").write_text("no")
    return made


@pytest.fixture
def open_page(browser, owner):
    """A page of the owner, with what goes wrong in it collected."""
    contexts = []

    def start(served, path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(120_000)
        cookie = owner.client.cookies["session"].value
        context.add_cookies([{"name": "session", "value": cookie, "url": served.address}])
        page = context.new_page()
        page.problems = []
        page.on("console", lambda said: page.problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda asked: _note_foreign(page, asked.url, served.address))
        page.goto(served.address + path)
        return page

    yield start
    for context in contexts:
        context.close()


def _note_foreign(page, url, address):
    if not url.startswith((address, "data:", "blob:")):
        page.problems.append(f"foreign request {url}")


def wait_for(page, condition, timeout_s=150.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, page.inner_text(".uploader")
        page.wait_for_timeout(100)


def assert_arrived(folder):
    arrived = {file.path: file for file in DatasetFile.unscoped.select_related("stored")}
    given = {
        f"{folder.name}/{path.relative_to(folder)}": path
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".DS_Store"
    }
    assert set(arrived) == set(given)
    for path, original in given.items():
        assert places.blob_file(arrived[path].stored.key).read_bytes() == original.read_bytes()


def test_a_folder_goes_up_and_shows_itself_without_a_reload(server, open_page, dataset, folder):
    page = open_page(server, f"/datasets/{dataset.pk}/")
    page.set_input_files('input[aria-label="Folder to upload"]', folder)
    wait_for(page, lambda: "8 of 8 files" in page.inner_text(".uploader"))
    assert_arrived(folder)
    run_tasks()
    wait_for(page, lambda: "notes μ.txt" in page.inner_text("#contents"))
    wait_for(page, lambda: "kept as it is" in page.inner_text("#contents"))
    assert page.problems == []
    page.set_input_files('input[aria-label="Folder to upload"]', folder)
    wait_for(page, lambda: page.inner_text(".uploads").count("already here") == 8)
    assert "8 of 8 files" in page.inner_text(".uploader")


def test_pause_a_killed_server_and_a_new_page_lose_nothing(
    transactional_db, home, open_page, dataset, folder
):
    database = str(connection.settings_dict["NAME"])
    big = folder / "big.bin"
    big.write_bytes(os.urandom(80 * MIB))
    with serving(home, database) as served:
        page = open_page(served, f"/datasets/{dataset.pk}/")
        slow = page.context.new_cdp_session(page)
        slow.send("Network.enable")
        slow.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": 12 * MIB},
        )
        page.set_input_files('input[aria-label="Folder to upload"]', folder)
        wait_for(page, lambda: _received(dataset, "big.bin") > 4 * MIB)
        page.get_by_role("button", name="Pause").click()
        page.wait_for_timeout(1500)
        before = _received(dataset, "big.bin")
        page.wait_for_timeout(1000)
        assert _received(dataset, "big.bin") == before
        page.get_by_role("button", name="Go on").click()
        wait_for(page, lambda: _received(dataset, "big.bin") > before)
        context = page.context
        kept = context.storage_state()
        served.process.kill()
        served.process.wait()
        reached = _received(dataset, "big.bin")
    # The page is closed; the browser's storage is all that a new one has.
    assert 0 < reached < big.stat().st_size
    with serving(home, database) as served:
        origins = [{**one, "origin": served.address} for one in kept["origins"]]
        page = open_page(
            served, f"/datasets/{dataset.pk}/", storage_state={"cookies": [], "origins": origins}
        )
        sent = []
        page.on(
            "request",
            lambda asked: (
                sent.append(asked.headers.get("upload-offset")) if asked.method == "PATCH" else None
            ),
        )
        page.set_input_files('input[aria-label="Folder to upload"]', folder)
        wait_for(page, lambda: "9 of 9 files" in page.inner_text(".uploader"))
        run_tasks()
        assert_arrived(folder)
        assert Upload.unscoped.filter(path__endswith="big.bin").count() == 1
        assert str(reached) in sent


def _received(dataset, name):
    upload = Upload.unscoped.filter(dataset=dataset, path__endswith=name).first()
    partial = places.partial_file(upload.pk) if upload else None
    return partial.stat().st_size if partial and partial.exists() else 0


def test_a_file_that_is_refused_says_why_and_the_others_go_on(server, open_page, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    (folder / "good.bin").write_bytes(b"good")
    (folder / "bad\u202ename.bin").write_bytes(b"bad")
    page = open_page(server, f"/datasets/{dataset.pk}/")
    page.set_input_files('input[aria-label="Files to upload"]', list(folder.iterdir()))
    wait_for(page, lambda: "1 failed" in page.inner_text(".uploader"))
    assert "turns the direction of reading" in page.inner_text(".uploads")
    assert DatasetFile.unscoped.get().path == "good.bin"


def test_what_is_in_the_dataset_is_said_to_be_here_and_not_sent_again(server, open_page, dataset, folder):
    page = open_page(server, f"/datasets/{dataset.pk}/")
    page.set_input_files('input[aria-label="Folder to upload"]', folder)
    wait_for(page, lambda: "8 of 8 files" in page.inner_text(".uploader"))
    (folder / "notes μ.txt").write_text("colder than it was")
    page = open_page(server, f"/datasets/{dataset.pk}/")
    sent = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.method == "PATCH" else None)
    page.set_input_files('input[aria-label="Folder to upload"]', folder)
    wait_for(page, lambda: page.inner_text(".uploads").count("already here") == 7)
    assert "7 of them were here already and were not sent again" in page.inner_text(".uploader")
    assert "has a file of this name with 4 bytes, and this one has 18" in page.inner_text(".uploads")
    assert sent == []


def test_an_empty_folder_is_answered(server, open_page, dataset):
    page = open_page(server, f"/datasets/{dataset.pk}/")
    page.evaluate(
        """document.querySelector(".dropzone").dispatchEvent(
            new DragEvent("drop", { dataTransfer: new DataTransfer(), cancelable: true }))"""
    )
    wait_for(page, lambda: "the folder is empty" in page.inner_text(".uploader"))
    assert "0 of 0" not in page.inner_text(".uploader")


def test_without_script_the_plain_form_works(server, open_page, dataset, folder):
    page = open_page(server, f"/datasets/{dataset.pk}/", java_script_enabled=False)
    page.set_input_files("#files", [folder / "notes μ.txt", folder / "grid" / "m0.bin"])
    page.get_by_role("button", name="Upload").click()
    assert "2 files arrived." in page.inner_text("main")
    assert "notes μ.txt" in page.inner_text("#contents")
