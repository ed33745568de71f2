"""Notices go to the trash with what they tell of, come back with it, and end with it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail

from cryocloud.web.notices.models import Notice, Occasion
from cryocloud.web.projects.models import Project
from cryocloud.web.runs.models import Job, Run
from platform_endings import end_job, queued_job
from platform_orders import make_project
from web.notices.conftest import work
from web_data import run_tasks

KINDS = ("project", "run", "job")


def told(person: Any) -> list[str]:
    titles = [one["title"] for one in person.api("GET", "/notices").json()["items"]]
    page = person.client.get("/notices/").content.decode()
    assert all(title in page for title in titles)
    assert titles or "Job 1" not in page
    return titles


@pytest.fixture
def ended(ada: Any, project: Project) -> dict[str, Any]:
    """A job of a run, with a notice of the job and one of the run; and another project that is left alone."""
    run = Run.unscoped.create(
        organization=ada.organization, created_by_id=ada.user.pk, project=project, number=1, workflow="tally",
        parameters={}, inputs={}, state="done",
    )  # fmt: skip
    job = end_job(queued_job(project, ada.user.pk))
    Job.unscoped.filter(pk=job.pk).update(run=run)
    about = Occasion.unscoped.create(
        organization=ada.organization, project=project, kind="done", subject="run", subject_id=run.pk,
        title="Run 1 (Tally)", standing="done",
    )  # fmt: skip
    Notice.unscoped.create(organization=ada.organization, occasion=about, user=ada.user)
    return {"project": project, "run": run, "job": job}


@pytest.mark.parametrize("kind", KINDS)
def test_notices_of_what_lies_in_the_trash_are_not_listed_nor_mailed(
    ada: Any, ended: dict[str, Any], kind: str
) -> None:
    before = told(ada)
    assert len(before) == 2
    deletion = ada.api("POST", f"/{kind}s/{ended[kind].pk}/trash", None if kind == "project" else {}).json()
    assert told(ada) == (["Run 1 (Tally)"] if kind == "job" else [])
    assert len(ada.api("GET", "/notices?unread=true").json()["items"]) == len(told(ada))
    work()
    assert not [one for one in mail.outbox if "Job 1" in one.subject]
    assert ada.api("POST", f"/trash/{deletion['id']}/restore").status_code == 204
    assert told(ada) == before


@pytest.mark.parametrize("kind", KINDS)
def test_with_what_is_deleted_for_good_its_notices_are_gone(
    ada: Any, ended: dict[str, Any], kind: str
) -> None:
    end_job(queued_job(make_project(ada), ada.user.pk))
    deletion = ada.api("POST", f"/{kind}s/{ended[kind].pk}/trash", None if kind == "project" else {}).json()
    assert Occasion.with_trash.count() == 3
    assert ada.api("DELETE", f"/trash/{deletion['id']}").status_code in (200, 202, 204)
    run_tasks()
    left = set(Occasion.with_trash.values_list("subject_id", flat=True))
    gone = {ended["job"].pk} if kind == "job" else {ended["job"].pk, ended["run"].pk}
    assert not left & gone and len(left) == 3 - len(gone)
