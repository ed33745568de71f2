"""What people are told in Chromium, wide and narrow, light and dark: controls, doubt, inputs, refusals, results."""

from __future__ import annotations

import re

import pytest
from django.db import connection

from cryocloud.web.results.files import job_folder
from cryocloud.web.results.tasks import make_previews
from cryocloud.web.runs.models import Job, Run
from platform_server import serving
from web.browsing import looking
from web.results import examples

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]
DOUBT = "The ab-initio map is not to be trusted: its seeds disagree."
LOOKS = [(1280, "light"), (360, "dark"), (1280, "dark"), (360, "light")]


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def page(request, owner, laboratory, home, monkeypatch):
    """A tab of the laboratory's owner; nothing may be blocked, complained of or stick out when the test is over."""
    # Playwright's loop runs in this thread; the tests look into the database beside it.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    width_px, scheme = request.param
    context = {"viewport": {"width": width_px, "height": 900}, "color_scheme": scheme}
    with (
        serving(
            home, str(connection.settings_dict["NAME"]), CRYOCLOUD_CONTROLLER="Imaging Facility of Ada"
        ) as served,
        looking(served.address, owner.client, **context) as look,
    ):
        yield look.page
        # A form that was refused is answered with 422, which the console counts as an error.
        assert [said for said in look.found() if "status of 422" not in said] == []
        assert not look.barriers()
        assert not look.overflow(width_px)


def go(page, path):
    page.goto(path, wait_until="load")


def text(page):
    return page.locator("main").inner_text()


def test_a_control_is_no_result(page, laboratory):
    control = laboratory.jobs[12]
    Job.unscoped.filter(pk=control.pk).update(control=True)
    go(page, f"/projects/{laboratory.project.pk}/jobs/postprocess/new/")
    offered = page.locator("select#input-input").inner_text()
    assert "#10 3D refinement" in offered and "#13" not in offered
    go(page, f"/jobs/{control.pk}/")
    assert "A control, not a result" in text(page) and "lead-number" not in page.content()
    assert page.locator("#job-state").get_attribute("data-state") == "control"


def test_a_run_that_is_not_to_be_trusted_asks_in_red_and_goes_on_marked(page, laboratory):
    run = Run.unscoped.get(pk=laboratory.run.pk)
    Run.unscoped.filter(pk=run.pk).update(state=Run.State.WAITING, doubt=DOUBT, finished_at=None)
    Job.unscoped.filter(pk=laboratory.jobs[7].pk).update(doubt=DOUBT)
    go(page, f"/runs/{run.pk}/")
    notice = page.locator(".notice.bad").first
    assert DOUBT in notice.inner_text() and "This run needs you" in notice.inner_text()
    red, _, _ = (int(part) for part in re.findall(r"\d+", background(notice))[:3])
    assert red == max(int(part) for part in re.findall(r"\d+", background(notice))[:3])
    assert notice.get_by_role("link", name="Give a reference map").is_visible()
    assert notice.get_by_role("link", name="Choose 2D classes by hand").is_visible()
    notice.get_by_role("button", name="Go on all the same").click()
    page.wait_for_load_state()
    assert "Somebody chose to go on all the same" in text(page)
    run.refresh_from_db()
    assert run.doubt == DOUBT and run.state != Run.State.WAITING
    go(page, f"/jobs/{laboratory.jobs[7].pk}/")
    assert DOUBT in page.locator(".notice.bad").inner_text()


def background(locator):
    return locator.evaluate("(node) => getComputedStyle(node).backgroundColor")


def test_inputs_come_in_groups_and_are_found_by_words(page, laboratory):
    go(page, f"/projects/{laboratory.project.pk}/jobs/class2d/new/")
    assert page.locator("select#input-input optgroup").count() >= 1
    assert "Selected particles of #7" in page.locator("select#input-input").inner_text()
    find = page.locator("input[type=search]").first
    if find.count():
        find.fill("#5")
        page.wait_for_function("() => !document.querySelector('select#input-input').innerText.includes('#7')")


def test_what_cannot_work_is_said_beside_the_field_and_nothing_typed_is_lost(page, laboratory):
    go(page, f"/projects/{laboratory.project.pk}/workflows/spa/new/")
    diameter = page.get_by_label("Particle diameter")
    diameter.fill("50000")
    page.get_by_role("button", name="Start workflow").click()
    page.wait_for_load_state()
    assert "Not started" in text(page)
    assert diameter.input_value() == "50000"
    assert page.evaluate("document.activeElement.getAttribute('aria-invalid')") == "true"
    assert Run.unscoped.count() == 1


def test_a_result_turns_and_its_curve_tells_its_values(page, owner, laboratory):
    job = laboratory.jobs[10]
    examples.write_refine(job_folder(job))
    make_previews.func(job.pk, organization_id=owner.organization.pk)
    go(page, f"/runs/{laboratory.run.pk}/")
    page.locator(".turning[data-ready]").wait_for()
    slider = page.get_by_label("Turn")
    slider.fill("90")
    front = picture(page)
    slider.press("ArrowRight")
    assert picture(page) != front
    canvas = page.locator(".turning canvas").bounding_box()
    before = picture(page)
    page.mouse.move(canvas["x"] + 60, canvas["y"] + 60)
    page.mouse.down()
    page.mouse.move(canvas["x"] + 140, canvas["y"] + 60, steps=4)
    page.mouse.up()
    assert picture(page) != before
    page.locator(".chart[data-ready]").wait_for()
    chart = page.locator(".chart .u-over").bounding_box()
    legend = page.locator(".chart .u-legend")
    assert "–" in legend.inner_text()
    page.locator(".chart .u-over").scroll_into_view_if_needed()
    page.locator(".chart .u-over").hover(position={"x": chart["width"] / 3, "y": chart["height"] / 2})
    assert re.search(r"\d Å", legend.inner_text()) and re.search(r"0\.\d", legend.inner_text())


def picture(page):
    return page.evaluate("document.querySelector('.turning canvas').toDataURL()")


def test_the_policy_names_who_runs_the_platform(page):
    go(page, "/privacy/")
    assert "Imaging Facility of Ada" in text(page)


def test_cancel_asks_once(page, laboratory):
    go(page, f"/jobs/{laboratory.running.pk}/")
    page.get_by_text("Cancel", exact=True).click()
    Job.unscoped.get(pk=laboratory.running.pk)
    assert Job.unscoped.get(pk=laboratory.running.pk).cancel_requested_at is None
    page.get_by_role("button", name="Yes, cancel").click()
    page.wait_for_load_state()
    assert Job.unscoped.get(pk=laboratory.running.pk).cancel_requested_at is not None
