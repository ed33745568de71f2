"""The forecast beside the form, in a real browser: it is there, follows the values, and fits on a narrow screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from cryocloud.web.projects.models import Project
from platform_orders import OPTICS, make_dataset
from platform_server import Served, serving

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ISLAND = Path(__file__).parents[3] / "src/cryocloud/web/static/islands/page.js"
HEADER = {"content": "image", "width_px": 1000, "height_px": 1200, "sections": 1, "pixel_size_angstrom": 1.5}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium"),
    pytest.mark.skipif(not ISLAND.exists(), reason="the islands are not built (make islands)"),
]


@pytest.fixture
def served(transactional_db: None, home: Path) -> Iterator[Served]:
    with serving(home, str(connection.settings_dict["NAME"])) as running:
        yield running


@pytest.fixture
def order_page(owner: Any, project: Project) -> str:
    dataset = make_dataset(owner, {f"m{number}.mrc": b"" for number in range(30)})
    dataset.files.update(header=HEADER, state="read")
    type(dataset).unscoped.filter(pk=dataset.pk).update(profile=OPTICS)
    return f"/projects/{project.pk}/workflows/spa/new/"


def test_the_forecast_follows_the_form_and_fits_wide_and_narrow_light_and_dark(
    served: Served, owner: Any, order_page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for width_px in (1280, 360):
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width_px, "height": 900}, color_scheme=scheme
                )
                context.set_default_timeout(120_000)
                cookie = owner.client.cookies["session"].value
                context.add_cookies([{"name": "session", "value": cookie, "url": served.address}])
                page = context.new_page()
                problems: list[str] = []
                page.on(
                    "console",
                    lambda said, told=problems: told.append(said.text) if said.type == "error" else None,
                )
                page.goto(served.address + order_page)
                page.fill("#parameter-particle_diameter_angstrom", "125")
                page.press("#parameter-particle_diameter_angstrom", "Tab")
                page.wait_for_selector("#forecast")
                first = page.inner_text("#forecast")
                assert all(label in first for label in ("Time", "Compute", "Memory", "Disk"))
                page.fill("#parameter-particle_diameter_angstrom", "400")
                page.press("#parameter-particle_diameter_angstrom", "Tab")
                page.wait_for_function(
                    "before => document.querySelector('#forecast').innerText !== before", arg=first
                )
                page.click("#findings summary")
                scrolled = page.evaluate(
                    "document.documentElement.scrollWidth > document.documentElement.clientWidth"
                )
                assert not scrolled
                page.screenshot(path=str(tmp_path / f"forecast_{width_px}_{scheme}.png"), full_page=True)
                assert problems == []
                context.close()
        browser.close()
