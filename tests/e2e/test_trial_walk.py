"""A trial in a real browser on a platform at work, from the sign-up to the last second of its data, by the test clock.

The sums of dates are done here by hand; only the moment of the order is read from the database.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.controller import Controller

from bank_statements import Movement, statement
from free_port import free_port
from journey_parts import wait_until
from platform_orders import FAKE_JOB_TYPES
from platform_up import running
from trial_stage import MAIL_S, Letters, Stage, app_code
from web.browsing import CHROMIUM, FLAGS, Look
from web.visitors import PASSWORD

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(360)]

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "deploy" / "billing.example.toml"
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BEFORE = 4 * SECOND
"""How long before an end the clock is set, so that a page can still be drawn before it."""
OWNER, ORGANIZATION, PAYER = "ada@lab.example", "Engine Lab", "Universiteit Voorbeeld"
LEFT_S, STEPS = 20, 45
JOB_S = 120
NET, VAT, GROSS = "490.00 EUR", "102.90 EUR", "592.90 EUR"
PLAN, DASHBOARD = "/organization/plan/", "/dashboard/"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    letters, port = Letters(), free_port()
    controller = Controller(letters, hostname="127.0.0.1", port=port)
    controller.start()
    settings = {
        "DJANGO_SETTINGS_MODULE": "cryocloud.web.settings",
        "CRYOCLOUD_SMTP_URL": f"smtp://127.0.0.1:{port}",
        "CRYOCLOUD_BILLING": str(EXAMPLE),
        "CRYOCLOUD_TEST_SEAMS": "on",
        "CRYOCLOUD_TRIAL_COMPUTE_HOURS": "1",
        "CRYOCLOUD_CONTACT": "help@cryocloud.example",
        "CRYOCLOUD_CONTROLLER": "Example Cryo-EM Services B.V.",
        "CRYOCLOUD_CONTROLLER_ADDRESS": "Voorbeeldstraat 1, 3511 AA Utrecht",
        "PYTHONPATH": os.pathsep.join([str(FAKE_JOB_TYPES), str(HERE.parents[1] / "src")]),
    }
    with running(tmp_path / "home", **settings) as platform, playwright.sync_playwright() as started:
        platform.wait_ready()
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield Stage(platform, settings, letters, browser)
        browser.close()
    controller.stop()


def test_a_trial_is_walked_from_the_sign_up_to_the_last_second_of_its_data(
    stage: Stage, tmp_path: Path
) -> None:
    look = stage.tab()
    sign_up(stage, look)
    project = work(look)
    job = run_out_of_compute(stage, look, project)
    protect(look)
    anchor = upgrade(stage, look)
    wait_until(lambda: state_of(look, job) == "done", JOB_S)
    see(look, f"/jobs/{job}/", "job-resumed-and-done")
    number = read_the_invoice(look, tmp_path, anchor)
    operator = become_operator(stage)
    pay(stage, look, operator, anchor + 3 * DAY, number)
    end_the_month(stage, look, anchor)
    deactivated_at = deactivate(stage, look)
    refund(operator)
    reach_the_last_second(stage, look, job, deactivated_at + 30 * DAY)
    faults = [said for one in stage.tabs for said in one.found()]
    assert [said for said in faults if not re.search(r"status of (403|404|409|422)", said)] == []


def see(look: Look, path: str, name: str, *, status: int = 200) -> str:
    """The words of a page, which fits into wide windows and narrow ones."""
    look.visit(path, status=status)
    return see_here(look, name)


def see_here(look: Look, name: str) -> str:
    page = look.page
    page.wait_for_load_state()
    look.picture(name)
    words = " ".join(page.inner_text("body").split())
    page.set_viewport_size({"width": 360, "height": 800})
    page.emulate_media(color_scheme="dark")
    look.picture(name)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    return words


def press(look: Look, button: str, address: str) -> None:
    page = look.page
    with page.expect_navigation():
        page.get_by_role("main").get_by_role("button", name=button).first.click()
    assert re.search(address + "$", page.url), page.inner_text("main")


def sign_up(stage: Stage, look: Look) -> None:
    page = look.page
    see(look, "/", "home")
    page.get_by_role("link", name="Start free trial").first.click()
    see_here(look, "sign-up")
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.locator("#id_email").fill(OWNER)
    page.get_by_label("Organization").fill(ORGANIZATION)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_label("Code").fill(stage.letters.code())
    see_here(look, "sign-up-code")
    page.get_by_role("main").get_by_role("button").first.click()
    page.wait_for_url(f"**{DASHBOARD}")
    words = see_here(look, "dashboard-new")
    assert "Trial" in words


def work(look: Look) -> str:
    """A project with a short job that really runs."""
    page = look.page
    look.visit("/projects/new/")
    page.get_by_label("Name").fill("First map")
    press(look, "Make project", r"/projects/(?!new)\w+/")
    project = page.url.rstrip("/").rpartition("/")[2]
    job = order(look, project, steps=2, step_s=0.1)
    wait_until(lambda: state_of(look, job) == "done", JOB_S)
    see(look, f"/projects/{project}/", "project")
    return project


def order(look: Look, project: str, *, steps: int, step_s: float) -> str:
    page = look.page
    look.visit(f"/projects/{project}/jobs/counting/new/")
    page.locator("#parameter-steps").fill(str(steps))
    if page.locator("#parameter-step_s").is_hidden():
        page.locator("details:has(#parameter-step_s) > summary").first.click()
    page.locator("#parameter-step_s").fill(str(step_s))
    press(look, "Start", r"/jobs/\w+/")
    return str(page.url.rstrip("/").rpartition("/")[2])


def api(look: Look, path: str) -> Any:
    return look.page.context.request.get(f"{look.address}/api/v1{path}")


def state_of(look: Look, job: str) -> str:
    return str(api(look, f"/jobs/{job}").json()["state"])


def run_out_of_compute(stage: Stage, look: Look, project: str) -> str:
    """Most of the hour was used by others; a job with its own checkpoints meets the end."""
    stage.tell(str(HERE / "trial_seed.py"), ORGANIZATION, str(LEFT_S))
    job = order(look, project, steps=STEPS, step_s=1)
    see(look, f"/jobs/{job}/", "job-running")
    wait_until(lambda: state_of(look, job) == "paused", JOB_S)
    words = see(look, f"/jobs/{job}/", "job-paused")
    assert "Paused" in words
    words = see(look, DASHBOARD, "dashboard-paused")
    assert "used up" in words
    see(look, "/organization/usage/", "usage-used-up")
    stage.letters.about(r"[Cc]ompute|paused|used")
    return job


def protect(look: Look) -> None:
    """Before anything is filled in, the order says that it needs a second factor, and leads to it."""
    look.visit("/organization/plan/order/?plan=lab&interval=monthly", status=403)
    assert "Choosing a plan needs a second factor" in see_here(look, "second-factor-needed")
    look.page.get_by_role("link", name="Set it up", exact=True).click()
    see_here(look, "second-factor")
    set_up_app(look)


def set_up_app(look: Look) -> None:
    look.visit("/accounts/2fa/totp/activate/")
    if "/reauthenticate/" in look.page.url:
        look.page.locator("[name=password]").fill(PASSWORD)
        with look.page.expect_navigation():
            look.page.locator("main form button.primary").first.click()
    secret = look.page.locator("#authenticator_secret").input_value()
    look.page.get_by_label("code").last.fill(app_code(secret))
    press(look, "Turn it on", "/")


def upgrade(stage: Stage, look: Look) -> datetime:
    page = look.page
    words = see(look, PLAN, "plan-trial")
    assert "The trial ends" in words
    page.get_by_role("link", name="Choose a plan").first.click()
    assert f"{NET} without VAT a month" in see_here(look, "plan-choose")
    page.get_by_role("link", name="Choose Lab, monthly").click()
    see_here(look, "plan-who-pays")
    for label, text in (
        ("Name", PAYER), ("Street and number", "Domplein 29"), ("Postal code", "3512 JE"),
        ("City", "Utrecht"), ("Email for invoices", "invoices@lab.example"),
    ):  # fmt: skip
        page.get_by_label(label, exact=False).first.fill(text)
    page.get_by_label("Country").select_option("NL")
    press(look, "Go on", "plan=lab&interval=monthly")
    assert f"{GROSS}, of which" in see_here(look, "plan-order")
    before = stage.now
    press(look, "Order with obligation to pay", PLAN)
    anchor = stage.moment("anchor")
    assert before <= anchor <= stage.now
    words = see_here(look, "plan-active")
    assert "Plan Lab has begun" in words
    month = month_after(anchor)
    assert f"{month:%-d %B %Y, %H:%M:%S} UTC" in words
    return anchor


def month_after(anchor: datetime) -> datetime:
    """The same wall time in Amsterdam a month later, on the month's last day where it is shorter."""
    local = anchor.astimezone(AMSTERDAM)
    first = (local.replace(day=1, tzinfo=None) + timedelta(days=32)).replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - DAY
    return first.replace(day=min(local.day, last.day)).replace(tzinfo=AMSTERDAM).astimezone(UTC)


def read_the_invoice(look: Look, folder: Path, anchor: datetime) -> str:
    page = look.page
    see(look, "/invoices/", "invoices-open")
    page.get_by_role("link", name=re.compile(r"^EX-\d{4}-\d{6}$")).first.click()
    wait_until(lambda: page.get_by_role("link", name="Download PDF").count() or page.reload() is None, MAIL_S)
    words = see_here(look, "invoice")
    for said in (NET, VAT, GROSS, PAYER, f"{(anchor + 14 * DAY).astimezone(AMSTERDAM):%-d %b %Y}"):
        assert said in words, said
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download PDF").click()
    file = folder / "invoice.pdf"
    coming.value.save_as(file)
    assert file.read_bytes().startswith(b"%PDF-")
    return re.search(r"EX-\d{4}-\d{6}", words)[0]  # type: ignore[index]


def become_operator(stage: Stage) -> Look:
    look = stage.tab()
    see(look, stage.first_link(), "first-operator")
    for name, text in (
        ("name", "Olga"), ("organization", "Operation"), ("email", "olga@cryocloud.example"), ("password", PASSWORD)
    ):  # fmt: skip
        look.page.locator(f"#{name}").fill(text)
    press(look, "Create the account", "/")
    set_up_app(look)
    return look


def log_in(look: Look, email: str) -> None:
    """Sessions have ended where the clock was set far ahead."""
    look.visit(DASHBOARD)
    if "/login/" in look.page.url:
        look.page.locator("[name=login]").fill(email)
        look.page.locator("[name=password]").fill(PASSWORD)
        look.page.get_by_role("main").get_by_role("button").first.click()
        look.page.wait_for_url(f"**{DASHBOARD}")


def take(look: Look, movement: Movement, name: str) -> str:
    look.visit("/operator/bank/")
    look.page.locator("[type=file]").set_input_files(
        {"name": f"{name}.xml", "mimeType": "application/xml", "buffer": statement(movement, number=name)}
    )
    press(look, "Read the statement", "/operator/bank/")
    return see_here(look, f"operator-bank-{name}")


def pay(stage: Stage, look: Look, operator: Look, moment: datetime, number: str) -> None:
    stage.set_clock(moment)
    see(look, PLAN, "plan-to-pay")
    look.page.get_by_role("link", name=f"Pay invoice {number}").click()
    words = see_here(look, "payment-transfer")
    reference = re.search(r"RF\d\d[ \w]+?(?= Due)", words, re.I)
    assert reference, words
    paid = Movement("592.90", text=number, reference=reference[0].replace(" ", ""), day=f"{moment:%Y-%m-%d}")
    assert "1 matched" in take(operator, paid, "paid")
    assert "settled" in see(look, "/invoices/", "invoices-paid").casefold()
    assert "To be paid" not in see(look, PLAN, "plan-paid")


def end_the_month(stage: Stage, look: Look, anchor: datetime) -> None:
    boundary = month_after(anchor)
    stage.set_clock(boundary - BEFORE)
    look.visit("/invoices/")
    numbers = look.page.get_by_role("link", name=re.compile(r"^EX-\d{4}-\d{6}$"))
    if "/login/" not in look.page.url:
        assert numbers.count() == 1
        assert stage.now < boundary
    log_in(look, OWNER)
    stage.set_clock(boundary + SECOND)
    look.visit("/invoices/")
    wait_until(lambda: numbers.count() == 2 or look.page.reload() is None, MAIL_S)
    words = see_here(look, "invoices-second-month")
    assert f"{(boundary + 14 * DAY).astimezone(AMSTERDAM):%-d %b %Y}" in words


def deactivate(stage: Stage, look: Look) -> datetime:
    """From the settings of the organization within three clicks; everything comes back."""
    page = look.page
    see(look, "/organization/", "organization")
    page.get_by_role("main").get_by_role("link", name=re.compile("^(Plan|Your plan)")).first.click()
    page.wait_for_url(f"**{PLAN}")
    page.get_by_role("link", name="Deactivate the plan").click()
    words = see_here(look, "plan-deactivate")
    assert GROSS in words
    assert "goes back the way it came" in words
    before = stage.now
    press(look, "Deactivate the plan", PLAN)
    ended_at = stage.moment("ended_at")
    assert before <= ended_at <= stage.now
    words = see_here(look, "plan-retrieval")
    assert f"{ended_at + 30 * DAY:%-d %B %Y, %H:%M} UTC" in words
    wait_until(lambda: see(look, "/invoices/", "invoices-credited").count("credit note") == 2, MAIL_S)
    words = stage.letters.about("[Dd]eactivat|ended|refund")
    assert f"{ended_at + 30 * DAY:%-d %B %Y}" in words
    stage.letters.about("[Cc]redit note")
    return ended_at


def refund(operator: Look) -> None:
    """The money waits for the next file to the bank."""
    log_in(operator, "olga@cryocloud.example")
    assert "592.90" in see(operator, "/operator/bank/", "operator-bank-refund")


def reach_the_last_second(stage: Stage, look: Look, job: str, end: datetime) -> None:
    stage.set_clock(end - timedelta(minutes=10))
    log_in(look, OWNER)
    see(look, DASHBOARD, "dashboard-retrieval")
    stage.set_clock(end - BEFORE)
    answer = api(look, f"/jobs/{job}")
    assert (answer.status, stage.now < end) == (200, True)
    stage.set_clock(end + SECOND)
    assert api(look, f"/jobs/{job}").status in (403, 404, 409)
    words = see(look, PLAN, "plan-closed")
    assert "is closed since" in words
    assert f"{end:%-d %B %Y, %H:%M} UTC" in words
    stage.letters.about("closed")
