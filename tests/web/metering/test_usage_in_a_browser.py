"""Usage, quotes, caps and pauses in Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from cryocloud.web.core.clock import now
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.metering import grants
from cryocloud.web.runs.models import Job, Run
from platform_orders import OPTICS
from platform_server import serving
from web.browsing import looking
from web.metering.conftest import claim
from web.metering.test_grants import plan
from web.pages.laboratory import seed_laboratory

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]
HEADER = {"content": "image", "width_px": 1000, "height_px": 1200, "sections": 1, "pixel_size_angstrom": 1.5}
LOOKS = [(1280, "light"), (360, "dark"), (1280, "dark"), (360, "light")]
PAUSED = (
    "Paused. The 20 hours of compute of the trial are used up. Results stay. To go on, write to the operator. It goes "
    "on by itself, from its last checkpoint, as soon as there is compute for it."
)


@pytest.fixture
def laboratory(owner):
    return seed_laboratory(owner)


@pytest.fixture
def used(owner, laboratory, record):
    """Three weeks of a plan with a price beyond what it includes, and an attempt at work."""
    lab, begin = owner.organization, now() - timedelta(days=21)
    plan(
        lab, from_at=begin, until_at=begin + timedelta(days=30), compute_s=40 * 3600, compute_cents_an_hour=70,
        spending_limit_cents=5000,
    )  # fmt: skip
    job = laboratory.running
    for day in range(1, 21, 2):
        record(
            lab, 3000 * day, at=begin + timedelta(days=day), project_id=job.project_id, run_id=job.run_id or "",
            job_id=job.pk, read_bytes=10**10, written_bytes=10**9, boot_id="8f6b7a54-1c1e-4d0c-9b5e-c0f1d3a8f2b1",
        )  # fmt: skip
    DatasetFile.unscoped.update(header=HEADER, state="read")
    Dataset.unscoped.update(profile=OPTICS)
    grants.reserve(working := claim(lab, project_id=job.project_id))
    grants.note_use(working, 50.0)


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def look(request, owner, used, home, monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    width_px, scheme = request.param
    context = {"viewport": {"width": width_px, "height": 900}, "color_scheme": scheme}
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(served.address, owner.client, **context) as looked,
    ):
        looked.name = f"{width_px}-{scheme}"
        looked.width_px = width_px
        yield looked


def check(look, name):
    """Nothing is blocked, complained of, hard to read or wider than the page; a picture where somebody wants one."""
    folder = os.environ.get("PICTURES_OF_TESTS")
    if folder:
        look.page.screenshot(path=Path(folder) / f"{name}-{look.name}.png", full_page=True)
    assert [said for said in look.found() if "status of 422" not in said] == []
    assert not look.barriers()
    assert not look.overflow(look.width_px)


def test_usage_quote_cap_and_pause_can_be_read_everywhere(look, laboratory):
    page = look.page
    look.visit("/organization/usage/")
    assert "Beyond the plan so far" in page.inner_text("main")
    page.locator("details.small summary").first.click()
    check(look, "usage")

    look.visit(f"/projects/{laboratory.project.pk}/cap/")
    page.fill("#compute_cap_hours", "many")
    page.click("text=Keep cap")
    page.wait_for_selector("#cap-error")
    check(look, "cap-refused")
    page.fill("#compute_cap_hours", "120")
    page.click("text=Keep cap")
    page.wait_for_url("**/projects/*/")
    assert "cap of 120 h 00 min" in page.inner_text("main")
    check(look, "project")

    look.visit(f"/projects/{laboratory.project.pk}/workflows/spa/new/")
    page.fill("#parameter-particle_diameter_angstrom", "125")
    page.press("#parameter-particle_diameter_angstrom", "Tab")
    page.wait_for_selector("#forecast")
    assert "beyond the plan" in page.inner_text("#findings")
    check(look, "order")

    Job.unscoped.filter(pk=laboratory.running.pk).update(state="paused", paused_for="quota", message=PAUSED)
    Run.unscoped.filter(pk=laboratory.run.pk).update(state="paused", message=PAUSED)
    look.visit(f"/jobs/{laboratory.running.pk}/")
    assert "goes on by itself" in page.inner_text("main").replace("\n", " ")
    check(look, "paused-job")
    look.visit(f"/runs/{laboratory.run.pk}/")
    check(look, "paused-run")
