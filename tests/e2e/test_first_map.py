"""Somebody who knows nothing gets a map from the sample data, in a slow Chromium without 3D graphics and in Firefox."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryocloud.engine.io.mrc import write_mrc
from journey_parts import Mailbox, wait_until
from plain_browsers import PlainBrowser, firefox, slow_chromium
from web.visitors import PASSWORD

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]
CLICKS_MAX = 8
SAMPLE_S, RUN_S, DRAWN_S = 600, 3000, 180
READY = "document.querySelectorAll('[data-island]:not([data-ready], [data-failed])').length === 0"
VIEWERS = "[...document.querySelectorAll('a[href*=\"/look/\"]')].map((one) => one.getAttribute('href'))"
JOBS = "[...document.querySelectorAll('ol.steps h3 a')].map((one) => one.getAttribute('href'))"
SIDEWAYS = "document.documentElement.scrollWidth > innerWidth"
IS_DRAWN = """(() => {
  const canvas = document.querySelector('.turning canvas');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.some((value, at) => at % 4 === 3 && value > 0);
})()"""


@pytest.mark.parametrize("browser", [slow_chromium, firefox])
def test_a_first_map_in_a_few_clicks(sample_platform, mailbox: tuple[Mailbox, int], browser, tmp_path):
    address, _ = sample_platform
    with browser(address) as opened:
        sign_up(opened, mailbox[0], f"{browser.__name__}@lab.example")
        process_the_sample(opened)
        assert len(opened.clicks) <= CLICKS_MAX, opened.clicks
        look_at_everything(opened)
        upload(opened, tmp_path / "mic_1.mrc")


def sign_up(browser: PlainBrowser, mailbox: Mailbox, email: str) -> None:
    browser.open("/")
    browser.click('a[href$="/signup/"]')
    browser.fill("#id_name", "Ada Lovelace")
    browser.fill("#id_email", email)
    browser.fill("#id_organization", "Engine Lab")
    browser.fill("#id_password1", PASSWORD)
    mailbox.texts.clear()
    browser.click("main form button.primary")
    browser.fill("#id_code", mailbox.code())
    browser.click("main form button")
    wait_until(lambda: browser.tell("location.pathname") == "/dashboard/", DRAWN_S)


def process_the_sample(browser: PlainBrowser) -> None:
    """The button is there once the sample is made, about a minute after the first start."""
    button = 'form[action="/sample-data/run/"] button'
    wait_until(lambda: browser.has(button) or browser.open("/dashboard/"), SAMPLE_S)
    browser.click(button)
    wait_until(lambda: str(browser.tell("location.pathname")).startswith("/runs/"), DRAWN_S)
    wait_until(lambda: browser.tell("document.querySelector('.head .badge').dataset.state") == "done", RUN_S)
    wait_until(
        lambda: browser.has(".turning[data-ready]") or browser.open(browser.tell("location.pathname")), RUN_S
    )
    assert browser.tell(IS_DRAWN)
    assert "Å" in browser.text(".limits")


def look_at_everything(browser: PlainBrowser) -> None:
    """Each viewer of each job draws something; where there is no 3D, slices take its place."""
    seen = set()
    for job in browser.tell(JOBS):
        browser.open(job)
        for viewer in browser.tell(VIEWERS):
            browser.open(viewer)
            wait_until(lambda: browser.tell(READY), DRAWN_S)
            assert not browser.has("[data-failed]"), (viewer, browser.text())
            assert not browser.tell(SIDEWAYS), viewer
            seen.add(viewer.rstrip("/").rpartition("/")[2])
    assert {"micrographs", "classes", "curves", "orientations", "slices", "map"} <= seen


def upload(browser: PlainBrowser, file: Path) -> None:
    write_mrc(file, np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32), 1.5)
    browser.open("/datasets/new/")
    browser.fill("#name", "By hand")
    browser.click("main form button.primary")
    wait_until(lambda: browser.has('input[aria-label="Files to upload"]'), DRAWN_S)
    browser.give_files('input[aria-label="Files to upload"]', [file])
    wait_until(lambda: file.name in browser.text("#contents"), DRAWN_S)
