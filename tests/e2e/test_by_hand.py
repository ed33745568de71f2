"""Picks, curation and masks made by hand in a real browser, and used by the next job, which really runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from journey_parts import wait_until
from platform_up import running

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(3600)]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
BUNDLES = Path(__file__).parents[2] / "src/cryocloud/web/static/islands"
OPTICS = {"voltage_kv": 300, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.1}
PIXEL_ANGSTROM = 2.5
EDGE_PX = 720
DIAMETER_ANGSTROM = 160
READY_S = 120
JOB_S = 900
SAVED = "All changes are saved."
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@dataclass
class Bench:
    """A platform with jobs to correct by hand, and a person who has logged in."""

    address: str
    told: dict[str, str]
    browser: Any = None

    @contextmanager
    def page(self, **options: Any) -> Iterator[Any]:
        """Errors of scripts and refusals of the content policy fail the test."""
        context = self.browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        context.set_default_timeout(READY_S * 1000)
        context.add_cookies([{"name": "session", "value": self.told["session"], "url": self.address}])
        opened, faults = context.new_page(), []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda said: said.type == "error" and faults.append(said.text))
        yield opened
        context.close()
        # A refusal of the server is no fault of the page; that it is said there is what the tests look at.
        assert [fault for fault in faults if "Failed to load resource" not in fault] == []

    def api(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.told['token']}"}
        answer = httpx.request(
            method, f"{self.address}/api/v1{path}", json=body, headers=headers, timeout=READY_S
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def order(self, job_type: str, inputs: dict[str, str], **parameters: Any) -> dict[str, Any]:
        """The job once it has ended well."""
        body = {"job_type": job_type, "inputs": inputs, "parameters": parameters}
        return self.ended(str(self.api("POST", f"/projects/{self.told['project']}/jobs", body)["id"]))

    def ended(self, job_id: str) -> dict[str, Any]:
        def job() -> dict[str, Any] | None:
            found: dict[str, Any] = self.api("GET", f"/jobs/{job_id}")
            return found if found["state"] in ("done", "exceptions", "failed", "cancelled") else None

        found: dict[str, Any] = wait_until(job, JOB_S)
        assert found["state"] in ("done", "exceptions"), found["message"]
        return found

    def look(self, page: Any, job: str, viewer: str) -> None:
        address = f"{self.address}/jobs/{self.told[job]}/look/{viewer}/"
        page.goto(address)
        # Previews follow a job's end by some seconds.
        end_s = time.monotonic() + READY_S
        while page.get_by_text("previews are being prepared").count() and time.monotonic() < end_s:
            page.wait_for_timeout(1000)
            page.goto(address)
        page.locator("[data-island][data-ready], [data-failed]").first.wait_for(state="attached")
        assert page.locator("[data-failed]").count() == 0, page.inner_text("main")

    def made_by(self, page: Any, button: str) -> dict[str, Any]:
        """The job that a button of an editor made, once it has ended."""
        page.get_by_role("button", name=button).click()
        page.wait_for_url(lambda url: url.rstrip("/").rpartition("/")[0].endswith("/jobs"))
        return self.ended(page.url.rstrip("/").rpartition("/")[2])


def simulate(folder: Path) -> Path:
    command = [sys.executable, "-m", "cryocloud.client.cli", "run"]
    steps = {
        "simulate_map": {"model": "procedural", "pixel_size_angstrom": PIXEL_ANGSTROM, "symmetry": "O"},
        "simulate_micrographs": {
            "map": folder / "simulate_map/map.mrc", "micrographs": 4, "particles_per_micrograph": 40,
            "width_px": EDGE_PX, "height_px": EDGE_PX, **OPTICS,
        },
    }  # fmt: skip
    for job_type, options in steps.items():
        words = [
            word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        out = ["--out", str(folder / job_type), "--seed", "1"]
        subprocess.run([*command, job_type, *words, *out], check=True, capture_output=True)
    return folder / "simulate_micrographs/micrographs"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    if not (BUNDLES / "mask.js").exists():
        pytest.skip("the islands are not built: npm run build in islands/")
    folder = tmp_path_factory.mktemp("by_hand")
    home, images = folder / "home", simulate(folder)
    home.mkdir()
    key = {"CRYOCLOUD_SECRET_KEY": "a key for this test alone " * 3}
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    own |= {"CRYOCLOUD_HOME": str(home)} | key
    subprocess.run([sys.executable, "-m", "cryocloud.web", "migrate", "-v0"], env=own, check=True)
    seed = [sys.executable, str(Path(__file__).with_name("by_hand_seed.py")), str(images)]
    told = json.loads(subprocess.run(seed, env=own, check=True, stdout=subprocess.PIPE).stdout)
    with running(home, **key) as platform, playwright.sync_playwright() as running_playwright:
        platform.wait_ready()
        browser = running_playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        bench = Bench(f"http://127.0.0.1:{platform.port}", told, browser)
        prepare(bench)
        yield bench
        browser.close()


def prepare(bench: Bench) -> None:
    """Micrographs with CTF, and picks that are there to be corrected."""
    images = {"input": f"dataset:{bench.told['dataset']}"}
    imported = bench.order("import_micrographs", images, pixel_size_angstrom=PIXEL_ANGSTROM, **OPTICS)
    ctf = bench.order("ctf", {"input": f"job:{imported['id']}/micrographs.star"})
    listed = {"input": f"job:{ctf['id']}/micrographs.star"}
    pick = bench.order("pick", listed, particle_diameter_angstrom=DIAMETER_ANGSTROM)
    bench.told |= {"ctf": ctf["id"], "pick": pick["id"]}


def place(page: Any, x_px: float, y_px: float) -> tuple[float, float]:
    """Where a pixel of the micrograph lies on the screen while the whole image is shown."""
    box = page.locator(".stage canvas").bounding_box()
    scale = min(box["width"], box["height"]) / EDGE_PX
    left = box["x"] + (box["width"] - EDGE_PX * scale) / 2
    top = box["y"] + (box["height"] - EDGE_PX * scale) / 2
    return left + (x_px + 0.5) * scale, top + (y_px + 0.5) * scale


def saved(page: Any) -> None:
    page.get_by_text(SAVED).wait_for()


def drag(page: Any, *places: tuple[float, float]) -> None:
    """By one finger."""
    finger = page.context.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(places) - 1)]
    for kind, (x, y) in zip(kinds, places, strict=True):
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_hundred_particles_are_picked_by_hand(bench: Bench) -> None:
    grid = [(x, y) for y in range(100, 620, 110) for x in range(100, 620, 110)]
    with bench.page() as page:
        bench.look(page, "ctf", "micrographs")
        canvas = page.locator(".stage canvas")
        canvas.scroll_into_view_if_needed()
        for number in range(4):
            for x, y in grid:
                page.mouse.click(*place(page, x, y))
            if number < 3:
                canvas.press("n")
                page.get_by_text(f"({number + 2} of 4)").wait_for()
        page.get_by_text("100 added, 0 erased").wait_for()
        page.get_by_label("Particle diameter").fill("140")
        saved(page)
        page.reload()
        page.get_by_text("100 added, 0 erased").wait_for()
        assert page.get_by_label("Particle diameter").input_value() == "140"
        made = bench.made_by(page, "Use these picks in a job")
    assert (made["job_type"], made["metrics"]["picks"], made["metrics"]["by_hand"]) == (
        "edit_picks",
        100,
        100,
    )
    assert made["parameters"]["particle_diameter_angstrom"] == 140
    cut = bench.order("extract", {"input": f"job:{made['id']}/picks.star"}, box_size_px=64)
    assert cut["metrics"]["particles"] == 100


def test_an_automatic_pick_is_corrected_by_touch(bench: Bench) -> None:
    with bench.page(**PHONE) as page:
        bench.look(page, "pick", "micrographs")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.locator(".stage canvas").scroll_into_view_if_needed()
        for x, y in ((300, 90), (420, 90), (540, 90)):
            page.touchscreen.tap(*place(page, x, y))
        page.get_by_text("3 added, 0 erased").wait_for()
        page.get_by_role("button", name="Undo").click()
        page.get_by_text("2 added, 0 erased").wait_for()
        page.get_by_role("button", name="Erase", exact=True).click()
        drag(page, *(place(page, x, 500) for x in range(60, 660, 20)))
        page.locator(".caption", has_text="2 added").wait_for()
        said = page.locator(".caption", has_text="2 added").inner_text()
        erased = int(said.split(" erased")[0].split()[-1])
        assert erased > 0
        least = page.get_by_label("Score at least")
        least.evaluate("(one) => { one.value = '0.3'; one.dispatchEvent(new Event('input')); }")
        saved(page)
        made = bench.made_by(page, "Use these picks in a job")
    numbers = made["metrics"]
    assert (numbers["added"], made["parameters"]["score_min"]) == (2, 0.3)
    assert 0 < numbers["erased"] <= erased
    assert numbers["below_score"] > 0
    left = numbers["picks_before"] - numbers["below_score"] - numbers["erased"] + 2
    assert numbers["picks"] == left
    assert made["inputs"]["picks"] == f"job:{bench.told['pick']}/picks.star"
    cut = bench.order("extract", {"input": f"job:{made['id']}/picks.star"}, box_size_px=64)
    assert cut["metrics"]["particles"] + cut["metrics"]["rejected_at_edge"] == left


def test_a_set_is_curated_by_two_limits(bench: Bench) -> None:
    with bench.page() as page:
        bench.look(page, "ctf", "curation")
        page.get_by_text("4 of 4 micrographs accepted").wait_for()
        chart = page.locator(".limit", has_text="Defocus").locator("canvas")
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 40, steps=5)
        page.mouse.up()
        page.get_by_text("3 of 4 micrographs accepted").wait_for()
        assert "at most" in page.locator(".micrograph-card .reason").first.inner_text()
        page.get_by_label("Highest fit resolution").fill("9.5")
        page.get_by_role("button", name="Accept mic").click()
        page.get_by_text("4 of 4 micrographs accepted").wait_for()
        page.get_by_role("button", name="Undo decisions by hand").click()
        page.get_by_text("3 of 4 micrographs accepted").wait_for()
        picture = page.locator(".micrograph-card img").first
        wait_until(lambda: picture.evaluate("(one) => one.naturalWidth") > 0, READY_S)
        saved(page)
        made = bench.made_by(page, "Curate with these limits")
    assert (made["job_type"], made["metrics"]["accepted"], made["metrics"]["rejected"]) == ("curate", 3, 1)
    assert made["parameters"]["limits"] == "given"
    assert made["parameters"]["fit_resolution_max_angstrom"] == 9.5
    assert made["parameters"]["defocus_max_angstrom"] is not None
    picked = bench.order(
        "pick", {"input": f"job:{made['id']}/micrographs.star"}, particle_diameter_angstrom=DIAMETER_ANGSTROM
    )
    assert picked["metrics"]["micrographs"] == 3


def test_a_mask_is_drawn_and_used(bench: Bench) -> None:
    with bench.page() as page:
        bench.look(page, "refine", "mask")
        before = float(page.locator("[data-island]").get_attribute("data-share"))
        page.get_by_role("button", name="Brush: add").click()
        box = page.locator(".slice-grid canvas").first.bounding_box()
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.2 * box["height"], steps=10)
        page.mouse.up()
        page.get_by_role("button", name="Add a cylinder").click()
        page.get_by_role("button", name="Undo").click()
        saved(page)
        share = float(page.locator("[data-island]").get_attribute("data-share"))
        assert share > 1.1 * before
        made = bench.made_by(page, "Make this mask")
    assert made["job_type"] == "make_mask"
    # The small map is the whole one here; the low-pass filters differ, and 8 bits round the density.
    assert made["metrics"]["mask_fraction"] == pytest.approx(share, rel=0.15)
    assert made["metrics"]["shapes"] >= 2
    inputs = {"input": f"job:{bench.told['refine']}", "mask": f"job:{made['id']}/mask.mrc"}
    post = bench.order("postprocess", inputs)
    assert post["metrics"]["mask_fraction"] == pytest.approx(made["metrics"]["mask_fraction"], rel=1e-3)


def test_nothing_is_lost_between_tabs_and_log_ins(bench: Bench) -> None:
    with bench.page() as page:
        bench.look(page, "ctf", "micrographs")
        page.get_by_role("button", name="Start over").click()
        other = page.context.new_page()
        saved(page)
        bench.look(other, "ctf", "micrographs")
        other.mouse.click(*place(other, 200, 200))
        saved(other)
        page.mouse.click(*place(page, 400, 400))
        page.get_by_text("changed in another tab").wait_for()
        page.get_by_role("button", name="Load what was saved there").click()
        page.get_by_text("1 added, 0 erased").wait_for()
        kept = [one for one in page.context.cookies() if one["name"] == "session"]
        page.context.clear_cookies(name="session")
        page.mouse.click(*place(page, 400, 400))
        page.get_by_text("you are logged out here").wait_for()
        page.context.add_cookies(kept)
        saved(page)
        other.reload()
        other.get_by_text("2 added, 0 erased").wait_for()


def test_edits_of_a_micrograph_that_is_gone_are_named(bench: Bench) -> None:
    with bench.page() as page:
        bench.look(page, "pick", "micrographs")
        address = f"/jobs/{bench.told['pick']}/drafts/picks/"
        draft = page.context.request.get(f"{bench.address}{address}").json()
        content = {"edits": {"micrographs": {"gone.mrc": {"added": [[5, 5]], "erased": []}}}, "settings": {}}
        answer = page.context.request.post(
            f"{bench.address}{address}",
            data={"version": draft["version"], "content": content},
            headers={"X-CSRFToken": draft["csrf"], "Referer": bench.address},
        )
        assert answer.ok, answer.text()
        page.reload()
        page.get_by_text("1 micrograph with edits (gone.mrc) cannot be shown here").wait_for()
        made = bench.made_by(page, "Use these picks in a job")
    assert (made["state"], made["metrics"]["added"]) == ("exceptions", 0)
