"""The bell, the list, the settings, the webhook and the queue in Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from cryocloud.web.notices.models import MailChoice
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Attempt, Job
from platform_endings import BAD_INPUT, EXCEPTIONS, end_job, end_run, queued_job, start_job
from platform_orders import FAKE_JOB_TYPES
from platform_server import serving
from web.browsing import Look, looking
from web.notices.conftest import work
from web.notices.receiver import Receiver, receiving
from web.notices.test_mails import tally

LOOKS = [(width_px, scheme) for width_px in (1280, 360) for scheme in ("light", "dark")]
PRELUDE = f"""
import cryocloud.catalog.types, cryocloud.catalog.workflows
cryocloud.catalog.types.__path__.append({str(FAKE_JOB_TYPES / "catalog")!r})
cryocloud.catalog.workflows.__path__.append({str(FAKE_JOB_TYPES / "workflows")!r})
"""
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@dataclass
class Seen:
    """A tab, and the words of what it shows."""

    tab: Look

    @property
    def page(self) -> Any:
        return self.tab.page

    def visit(self, path: str, name: str = "page") -> str:
        self.tab.visit(path)
        return self.look(name)

    def look(self, name: str = "page") -> str:
        """The words of the page, which is not wider than the screen."""
        self.tab.picture(name)
        return " ".join(self.page.inner_text("body").split())

    def bell(self) -> str:
        return "".join(re.findall(r"\d+\+?", self.page.text_content("#bell")))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def seen(
    request: pytest.FixtureRequest, ada: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Seen]:
    # Playwright keeps an event loop in this thread; nothing else uses the connection.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    width_px, scheme = request.param
    context = {"viewport": {"width": width_px, "height": 800}, "color_scheme": scheme}
    database, opened = str(connection.settings_dict["NAME"]), {"CRYOCLOUD_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    with (
        serving(home, database, prelude=PRELUDE, **opened) as site,
        looking(site.address, ada.client, **context) as look,
    ):
        yield Seen(look)
        # A form that was refused is answered with 422, which the console counts as an error.
        assert [said for said in look.found() if "422" not in said] == []


def some_endings(ada: Any, project: Project) -> None:
    end_job(queued_job(project, ada.user.pk), resolution_angstrom=3.94)
    end_job(queued_job(project, ada.user.pk), EXCEPTIONS)
    words = "particle_diameter_angstrom: 900 is wider than the box of 512 Å; take a larger box or a smaller diameter"
    end_job(queued_job(project, ada.user.pk), BAD_INPUT, words)
    end_run(tally(ada, project, doubt="The ab-initio map is not to be trusted: its halves do not agree."), 0)


def test_notices_are_counted_listed_opened_and_marked_as_read(ada: Any, project: Project, seen: Seen) -> None:
    assert "Nothing to tell yet" in seen.visit("/notices/", "notices-empty")
    assert seen.bell() == ""
    some_endings(ada, project)
    seen.visit("/dashboard/", "dashboard-bell")
    assert seen.bell() == "4"
    seen.page.focus("#bell")
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url("**/notices/")
    words = seen.look("notices")
    titles = ["Run 1 (Tally) Needs you", "Job 3", "Job 2", "Job 1 (Counting) Done 3.94 Å"]
    assert [words.index(title) for title in titles] == sorted(words.index(title) for title in titles)
    assert "its halves do not agree" in words and "Apoferritin · Lab of ada" in words
    seen.page.click("text=Job 3 (Counting)")
    seen.page.wait_for_url("**/jobs/**")
    assert seen.bell() == "3", "whoever looks at the job has read of it"
    seen.visit("/notices/")
    seen.page.click("text=Mark all as read")
    seen.page.wait_for_load_state()
    assert seen.bell() == "" and "Mark all" not in seen.look()


def test_the_bell_of_an_open_page_rings_by_itself(ada: Any, project: Project, seen: Seen) -> None:
    seen.visit(f"/projects/{project.pk}/")
    end_job(queued_job(project, ada.user.pk))
    seen.page.wait_for_selector("#bell b")
    assert seen.bell() == "1"


def test_what_one_hears_of_is_chosen(ada: Any, project: Project, seen: Seen) -> None:
    seen.visit(f"/projects/{project.pk}/")
    seen.page.click("summary:has-text('Notices')")
    seen.look("project-choice")
    seen.page.click("text=Tell me of everything")
    seen.page.wait_for_selector("text=You hear of everything in “Apoferritin”.")
    assert "followed" in seen.visit("/settings/notices/")
    seen.page.uncheck("#id_failed")
    seen.page.click("main button:has-text('Save')")
    seen.page.wait_for_selector("text=Your choice is saved.")
    seen.look("settings-notices")
    assert not seen.page.is_checked("#id_failed") and seen.page.is_checked("#id_done")
    assert MailChoice.objects.get().failed is False
    seen.page.click("text=Follow no more")
    seen.page.wait_for_load_state()
    assert "followed" not in seen.visit("/settings/notices/")


def test_a_webhook_is_set_up_tested_and_removed(
    ada: Any, project: Project, seen: Seen, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.visit("/organization/", "organization")
    seen.page.click("a:has-text('Webhook')")
    seen.page.fill("#id_url", "https://10.0.0.7/hook")
    seen.page.click("text=Set up the webhook")
    seen.page.wait_for_selector(".error")
    assert "“10.0.0.7” has no address on the public internet; name a server that has one." in seen.look(
        "webhook-refused"
    )
    assert seen.page.input_value("#id_url") == "https://10.0.0.7/hook", "what was typed stays"
    seen.page.fill("#id_url", receiver.url)
    seen.page.click("text=Set up the webhook")
    seen.page.wait_for_selector("code.secret")
    assert "whsec_" in seen.look("webhook-secret")
    seen.page.click("text=Send a test")
    seen.page.wait_for_selector("text=Waiting")
    monkeypatch.setattr("cryocloud.web.notices.outward._may_be_called", lambda _: True)
    end_job(queued_job(project, ada.user.pk))
    work()
    words = seen.visit("/organization/webhook/", "webhook")
    assert words.count("answered 204") == 2 and "whsec_" not in words and len(receiver.calls) == 2
    seen.page.click("text=Switch off")
    seen.page.wait_for_selector("text=Switch on")
    seen.page.click("text=Remove")
    seen.page.wait_for_url("**/organization/")


def test_a_job_and_a_run_that_wait_say_so(
    ada: Any, project: Project, seen: Seen, make_person: Callable[..., Any]
) -> None:
    attempt = start_job(queued_job(project, ada.user.pk))
    Job.unscoped.filter(pk=attempt.job_id).update(progress=0.25)
    Attempt.unscoped.filter(pk=attempt.pk).update(wall_s=600)
    first = queued_job(project, ada.user.pk)
    run = tally(ada, project)
    words = seen.visit(f"/jobs/{first.pk}/", "queued-job")
    assert "Waiting for a free slot, the only one is taken. It is the next in the queue" in words
    assert "may start in about 30 min." in words
    words = seen.visit(f"/runs/{run.pk}/", "queued-run")
    assert "It is number 2 in the queue and may start in about 30 min." in words
