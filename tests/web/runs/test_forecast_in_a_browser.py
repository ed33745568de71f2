"""Forecasts in a real browser: beside the form, following its values, on the pages; wide, narrow, light, dark."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from cryocloud.web.core.clock import now
from cryocloud.web.data.models import Dataset
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job, Run
from platform_orders import OPTICS, make_dataset
from platform_server import serving
from web.browsing import Look, looking

ISLAND = Path(__file__).parents[3] / "src/cryocloud/web/static/islands/page.js"
HEADER = {"content": "image", "width_px": 1000, "height_px": 1200, "sections": 1, "pixel_size_angstrom": 1.5}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ISLAND.exists(), reason="the islands are not built (make islands)"),
]


@pytest.fixture
def dataset(owner: Any) -> Dataset:
    made = make_dataset(owner, {f"m{number}.mrc": b"" for number in range(30)})
    made.files.update(header=HEADER, state="read")
    Dataset.unscoped.filter(pk=made.pk).update(profile=OPTICS)
    return made


@pytest.fixture
def at_work(owner: Any, project: Project, dataset: Dataset) -> tuple[Run, Job]:
    """A run whose first job is half done."""
    order = {
        "workflow": "spa",
        "parameters": {**OPTICS, "particle_diameter_angstrom": 125.0},
        "inputs": {"micrographs": f"dataset:{dataset.pk}"},
    }
    run = Run.unscoped.get(pk=owner.api("POST", f"/projects/{project.pk}/runs", order).json()["id"])
    job = run.jobs.get()
    Job.unscoped.filter(pk=job.pk).update(state="running", progress=0.5, started_at=now())
    Attempt.unscoped.create(
        organization=owner.organization, job=job, number=1, fence=1, state="running",
        started_at=now() - timedelta(minutes=10),
    )  # fmt: skip
    return run, job


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")], ids=str)
def tab(
    request: pytest.FixtureRequest,
    transactional_db: None,
    owner: Any,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Look]:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    width_px, scheme = request.param
    context = {"viewport": {"width": width_px, "height": 900}, "color_scheme": scheme}
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(served.address, owner.client, **context) as look,
    ):
        yield look
        assert look.found() == []


def test_the_forecast_follows_the_form_and_stands_on_the_pages(
    tab: Look, project: Project, at_work: tuple[Run, Job]
) -> None:
    page = tab.page
    run, job = at_work
    page.goto(f"/projects/{project.pk}/workflows/spa/new/")
    diameter = "#parameter-particle_diameter_angstrom"
    page.fill(diameter, "125")
    page.press(diameter, "Tab")
    page.wait_for_selector("#forecast")
    first = page.inner_text("#forecast")
    assert all(label in first for label in ("Time", "Compute", "Memory", "Disk"))
    page.fill(diameter, "300")
    page.press(diameter, "Tab")
    page.wait_for_function("before => document.querySelector('#forecast').innerText !== before", arg=first)
    page.click("#findings summary")
    tab.picture("order")
    page.goto(f"/jobs/{job.pk}/")
    assert "min left." in page.inner_text("#live")
    tab.picture("job")
    page.goto(f"/runs/{run.pk}/")
    assert "of memory" in page.inner_text("main")
    tab.picture("run")
