"""The viewers in a real browser against a real web process: what is drawn, what the controls change, what is said."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from free_port import free_port

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(1800)]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SOFTWARE_3D = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WITHOUT_3D = ["--disable-gpu", "--disable-3d-apis"]
READY_S = 120.0
BUNDLES = Path(__file__).parents[2] / "src/cryocloud/web/static/islands"


@dataclass(frozen=True)
class Platform:
    address: str
    jobs: dict[str, str]


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    if not (BUNDLES / "map_view.js").exists():
        pytest.skip("the islands are not built: npm run build in islands/")
    home, port = tmp_path_factory.mktemp("viewers"), free_port()
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    own = kept | {"CRYOCLOUD_HOME": str(home), "CRYOCLOUD_SECRET_KEY": "a key for this test alone " * 3}
    subprocess.run([sys.executable, "-m", "cryocloud.web", "migrate", "-v0"], env=own, check=True)
    seed = [sys.executable, str(Path(__file__).with_name("viewer_seed.py"))]
    told = json.loads(subprocess.run(seed, env=own, check=True, stdout=subprocess.PIPE).stdout)
    serve = ["-m", "uvicorn", "cryocloud.web.asgi:application", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen([sys.executable, *serve], env=own)
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}/static/icon.svg")
        yield Platform(f"http://127.0.0.1:{port}", told)
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_answers(address: str) -> None:
    end_s = time.monotonic() + READY_S
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.2)


@pytest.fixture(params=[SOFTWARE_3D], ids=["software"])
def page(platform, request):
    """A page of a person who has logged in. Errors of scripts and refusals of the content policy fail the test."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *request.param])
        context = browser.new_context(viewport={"width": 1000, "height": 800})
        context.set_default_timeout(READY_S * 1000)
        cookie = {"name": "session", "value": platform.jobs["session"], "url": platform.address}
        context.add_cookies([cookie])
        opened, faults = context.new_page(), []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        yield opened
        browser.close()
    assert faults == []


def look(page: Any, platform: Platform, job: str, viewer: str) -> None:
    page.goto(f"{platform.address}/jobs/{platform.jobs[job]}/look/{viewer}/")
    until(page, lambda: page.locator("[data-island][data-ready]").count() > 0)
    assert page.locator("[data-failed]").count() == 0


def until(page: Any, holds: Any) -> None:
    """Asked from here: the content policy forbids the evaluation that waiting inside the page needs."""
    end_s = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < end_s, page.locator("main").inner_text()[:2000]
        page.wait_for_timeout(200)


def pixels(page: Any, selector: str) -> np.ndarray:
    picture = Image.open(io.BytesIO(page.locator(selector).first.screenshot()))
    return np.asarray(picture.convert("RGB"), np.int16)


def test_the_map_is_drawn_and_follows_its_controls(page, platform):
    look(page, platform, "refine", "map")

    def surface() -> float:
        """Share of the stage, without its border and axes, that has the bluish color of the map."""
        seen = pixels(page, ".stage canvas")[10:-150, 10:-10]
        return float(((seen[..., 2] > seen[..., 0] + 12) & (seen.sum(-1) > 120)).mean())

    until(page, lambda: surface() > 0.02)
    before = surface()
    level = page.get_by_label("Level")
    level.fill(str(round(float(level.input_value()) + 1.5, 2)))
    until(page, lambda: 0.001 < surface() < 0.85 * before)
    assert "σ" in page.locator(".caption").inner_text()

    page.get_by_label("Half map 1", exact=True).check()
    until(page, lambda: "Half map 1" in page.locator(".caption").inner_text())

    def orange() -> float:
        seen = pixels(page, ".stage canvas")[10:-150, 10:-10]
        return float(((seen[..., 0] > seen[..., 2] + 40) & (seen[..., 1] > 60)).mean())

    until(page, lambda: orange() > 0.0005)
    page.get_by_label("Map", exact=True).uncheck()
    until(page, lambda: surface() < 0.001)
    page.get_by_label("White background").check()
    until(page, lambda: pixels(page, ".stage canvas")[5, 300].min() > 240)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save picture").click()
    with Image.open(saved.value.path()) as picture:
        assert picture.size[0] > 300
        assert np.asarray(picture.convert("L")).std() > 2


@pytest.mark.parametrize("page", [WITHOUT_3D], ids=["without"], indirect=True)
def test_without_3d_graphics_the_slices_take_their_place(page, platform):
    look(page, platform, "refine", "map")
    assert page.get_by_text("This browser shows no 3D graphics").count() == 1
    until(page, lambda: page.locator(".slice-grid canvas").count() == 3)
    until(page, lambda: pixels(page, ".slice-grid canvas").std() > 10)


def test_the_slices_follow_the_keyboard(page, platform):
    look(page, platform, "refine", "slices")
    first = page.locator(".slice-grid canvas").first
    center = pixels(page, ".slice-grid canvas")
    assert center[center.shape[0] // 2 - 20, center.shape[1] // 2 - 20].mean() > center[10, 10].mean() + 60
    before = page.locator(".slice-grid figcaption").first.inner_text()
    first.focus()
    for _ in range(20):
        page.keyboard.press("PageUp")
    after = page.locator(".slice-grid figcaption").first.inner_text()
    assert (before, after) == ("xy at z = 48.0 Å", "xy at z = 88.0 Å")
    assert pixels(page, ".slice-grid canvas").mean() < center.mean() - 10


def test_picks_follow_the_score_and_micrographs_the_keys(page, platform):
    look(page, platform, "pick", "micrographs")

    def yellow() -> int:
        seen = pixels(page, ".stage canvas")
        return int(((seen[..., 0] > 200) & (seen[..., 1] > 160) & (seen[..., 2] < 130)).sum())

    until(page, lambda: yellow() > 100)
    caption = page.locator(".caption").first
    assert "mic_0.mrc (1 of 3)" in caption.inner_text()
    assert "3 of 3 picks" in caption.inner_text()
    before = yellow()
    page.get_by_label("Score at least").fill("0.6")
    until(page, lambda: "1 of 3 picks" in caption.inner_text())
    assert 0 < yellow() < 0.6 * before
    page.get_by_label("Show picks").uncheck()
    until(page, lambda: yellow() == 0)
    page.locator(".stage canvas").focus()
    page.keyboard.press("n")
    until(page, lambda: "mic_1.mrc (2 of 3)" in caption.inner_text())
    gray = pixels(page, ".stage canvas")
    page.get_by_label("Low-pass filter").fill("40")
    until(page, lambda: pixels(page, ".stage canvas").std() != gray.std())
    page.locator(".stage canvas").focus()
    for _ in range(5):
        page.keyboard.press("+")
    until(page, lambda: np.abs(pixels(page, ".stage canvas") - gray).mean() > 5)


def test_rings_lie_over_the_power_spectrum(page, platform):
    look(page, platform, "ctf", "micrographs")
    page.get_by_label("Power spectrum instead of the image").check()

    def ringed() -> int:
        seen = pixels(page, ".stage canvas")
        return int((seen[..., 0] > seen[..., 2] + 40).sum())

    until(page, lambda: ringed() > 500)
    page.get_by_label("Rings where the CTF is zero").uncheck()
    until(page, lambda: ringed() == 0)


def test_classes_are_sorted_and_chosen_and_taken_to_a_job(page, platform):
    look(page, platform, "class2d", "classes")

    def shown() -> list[str]:
        return [name.split("\n")[0] for name in page.locator(".class-grid .name").all_inner_texts()]

    assert shown()[0].startswith("Class 1")
    page.get_by_label("Order").select_option("score")
    assert shown()[0].startswith("Class 7")
    page.get_by_role("button", name="None").click()
    page.locator(".class-grid button").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "2 of 7 classes chosen, 300 of 2,800 particles" in page.locator(".caption").inner_text()
    page.get_by_role("link", name="Select these classes in a new job").click()
    until(page, lambda: "/jobs/select2d/new/" in page.url)
    assert page.locator("[name=parameter-include]").input_value() == "6, 7"
    assert page.locator("[name=parameter-exclude]").input_value() == "1, 2, 3, 4, 5"
    assert (
        page.locator("[name=input-input]").input_value() == f"job:{platform.jobs['class2d']}/particles.star"
    )


def test_curves_and_orientations_are_drawn_beside_their_tables(page, platform):
    look(page, platform, "refine", "curves")
    until(page, lambda: pixels(page, ".uplot canvas").std() > 3)
    assert page.get_by_text("Falls below it at").is_visible()
    linear = pixels(page, ".uplot canvas")
    page.get_by_label("Logarithmic y").check()
    until(page, lambda: np.abs(pixels(page, ".uplot canvas") - linear).mean() > 0.5)
    look(page, platform, "refine", "orientations")
    drawn = pixels(page, ".sphere canvas")
    assert drawn[drawn.shape[0] // 2].std() > 5
    page.locator(".sphere canvas").first.hover()
    assert "tilt" in page.locator(".caption").inner_text()
