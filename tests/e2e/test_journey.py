"""The whole journey in a browser: sign up, upload, process, watch, look, download. Only the network is not real."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from journey_parts import Mailbox, Micrographs, Watched, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(5400)]

PASSWORD = "the Thon rings are round"
UPLOADED_S = 300
READ_S = 300
JOB_S = 1800
RUN_S = 4800
DRAWN_S = 120
# A surface fills at least this share of the frame with something else than the background.
MAP_SHARE_MIN = 0.02


def test_the_whole_journey(
    watched: Watched, mailbox: tuple[Mailbox, int], micrographs: Micrographs, tmp_path
):
    sign_up(watched, mailbox[0], f"{micrographs.folder.parent.name}@lab.example")
    upload(watched, micrographs)
    start_workflow(watched, micrographs)
    watch(watched)
    look_at_everything(watched)
    download(watched, tmp_path)
    assert watched.errors == []
    assert watched.foreign == []


def sign_up(watched: Watched, mailbox: Mailbox, email: str) -> None:
    page = watched.page
    page.context.clear_cookies()
    watched.open("/")
    page.get_by_role("link", name="Start free trial").first.click()
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.locator("#id_email").fill(email)
    page.get_by_label("Organization").fill("Engine Lab")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    mailbox.texts.clear()
    page.get_by_role("button", name="Sign up").click()
    page.get_by_label("Code").fill(mailbox.code())
    page.get_by_role("main").get_by_role("button").first.click()
    page.wait_for_url("**/dashboard/")


def upload(watched: Watched, micrographs: Micrographs) -> None:
    page, files = watched.page, sorted(path.name for path in micrographs.folder.iterdir())
    watched.open("/datasets/")
    page.get_by_role("link", name=re.compile("New dataset|Upload your first files")).first.click()
    page.get_by_label("Name").fill("Session 1")
    for name, value in micrographs.profile.items():
        page.locator(f"#{name}").fill(value)
    page.get_by_role("button", name="Make dataset").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(str(micrographs.folder))
    shown = page.locator("#contents")
    wait_until(lambda: all(name in shown.inner_text() for name in files), UPLOADED_S)
    wait_until(lambda: page.locator("#contents .thumb img").count() == len(files), READ_S)
    wait_until(lambda: page.evaluate("[...document.images].every((one) => one.naturalWidth > 0)"), READ_S)
    assert page.locator("#contents .error").count() == 0


def start_workflow(watched: Watched, micrographs: Micrographs) -> None:
    page = watched.page
    watched.open("/projects/new/")
    page.get_by_label("Name").fill("First map")
    page.get_by_role("button", name="Make project").click()
    page.get_by_role("link", name="New workflow").first.click()
    wait_until(lambda: "Session 1" in page.locator("select").first.inner_text(), 30)
    page.get_by_label("Particle diameter").fill(micrographs.diameter_angstrom)
    page.get_by_label("Symmetry").fill(micrographs.symmetry)
    page.get_by_role("button", name="Start workflow").click()
    page.wait_for_url("**/runs/*/")


def watch(watched: Watched) -> None:
    """The page changes by itself: it is not loaded again before the workflow has ended."""
    page = watched.page
    page.evaluate("document.body.dataset.loaded = 'once'")
    seen: list[str] = []
    loaded_once: list[int] = []

    def ended() -> bool:
        steps = page.locator("ol.steps").first.inner_text()
        if not seen or seen[-1] != steps:
            seen.append(steps)
        loaded_once.append(page.locator("body[data-loaded=once]").count())
        return state_of(watched) != "running"

    wait_until(ended, RUN_S)
    # Eight jobs at least begin and end one after the other.
    assert len(seen) > 8
    assert all(loaded_once[:-1])
    badge = page.locator(".head .badge").first
    wait_until(lambda: badge.get_attribute("data-state") != "running", READ_S)
    assert badge.get_attribute("data-state") == "done", page.locator("main").inner_text()
    assert re.search(r"resolution\s+\d[\d.]* Å", page.locator("main").inner_text(), re.IGNORECASE)


def state_of(watched: Watched) -> str:
    """Asked beside the page, which is left alone."""
    run_id = watched.page.url.rstrip("/").rpartition("/")[2]
    answer = watched.page.context.request.get(f"{watched.address}/api/v1/runs/{run_id}")
    return str(answer.json()["state"])


def look_at_everything(watched: Watched) -> None:
    """Each viewer of each job draws something, and the map is there in 3D."""
    page, jobs = watched.page, links(watched, r"^/jobs/[^/]+/$")
    viewers: set[str] = set()
    for job in jobs:
        watched.open(job)
        viewers |= links(watched, r"^/jobs/[^/]+/look/[^/]+/$")
    kinds = {viewer.rstrip("/").rpartition("/")[2] for viewer in viewers}
    assert {"micrographs", "classes", "curves", "orientations", "slices", "map"} <= kinds
    for viewer in sorted(viewers):
        watched.open(viewer)
        wait_until(
            lambda: not page.get_by_text("previews are being prepared").count() or page.reload(), JOB_S
        )
        wait_until(
            lambda: page.locator("[data-island]:not([data-ready]):not([data-failed])").count() == 0,
            DRAWN_S,
        )
        assert page.locator("[data-failed]").count() == 0, viewer
        if viewer.startswith(post_processing(watched)) and viewer.endswith("/map/"):
            wait_until(lambda: map_share(watched) > MAP_SHARE_MIN, DRAWN_S)


def links(watched: Watched, pattern: str) -> set[str]:
    hrefs = watched.page.evaluate(
        "[...document.querySelectorAll('a[href]')].map((one) => one.getAttribute('href'))"
    )
    return {href for href in hrefs if re.match(pattern, href)}


def map_share(watched: Watched) -> float:
    """Share of the frame's pixels that are not of the most common color."""
    picture = Image.open(io.BytesIO(watched.page.locator(".viewer canvas").first.screenshot())).convert("RGB")
    counts = sorted(count for count, _ in picture.getcolors(picture.width * picture.height))
    return 1 - counts[-1] / sum(counts)


def download(watched: Watched, folder: Path) -> None:
    """The sharpened map: what arrives has the checksum that the page shows, and is what the job wrote."""
    page = watched.page
    watched.open(f"{post_processing(watched)}files/")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="map_sharpened.mrc", exact=True))
    shown = row.locator("code.checksum").inner_text().strip()
    with page.expect_download() as coming:
        row.get_by_role("link", name="map_sharpened.mrc", exact=True).click()
    arrived = folder / "map.mrc"
    coming.value.save_as(arrived)
    assert hashlib.sha256(arrived.read_bytes()).hexdigest() == shown
    written = (watched.home / "results").rglob("map_sharpened.mrc")
    assert arrived.read_bytes() in [path.read_bytes() for path in written]


def post_processing(watched: Watched) -> str:
    """The job of the run that sharpened the map."""
    answer = watched.page.context.request.get(f"{watched.address}/api/v1/jobs?limit=200")
    return next(f"/jobs/{job['id']}/" for job in answer.json()["items"] if job["job_type"] == "postprocess")
