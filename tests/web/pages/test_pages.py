"""The pages for members, fetched as a browser would: everything that the design promises stands on them."""

import re

import pytest

from cryocloud.web.organizations.models import Role
from cryocloud.web.runs.models import Job


def text_of(answer):
    assert answer.status_code == 200, answer.content[:600]
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_every_page_of_a_laboratory_is_drawn(owner, laboratory):
    lab = laboratory
    for path in (
        "/dashboard/",
        "/projects/new/",
        f"/projects/{lab.project.pk}/",
        f"/projects/{lab.project.pk}/edit/",
        f"/projects/{lab.project.pk}/jobs/new/",
        f"/projects/{lab.project.pk}/workflows/spa/new/",
        f"/projects/{lab.project.pk}/jobs/refine/new/",
        f"/runs/{lab.run.pk}/",
        *(f"/jobs/{job.pk}/" for job in (*lab.jobs, lab.running, lab.failed)),
        f"/compare/?a={lab.jobs[9].pk}&b={lab.running.pk}",
        f"/compare/?a={lab.jobs[9].pk}",
    ):
        page = text_of(owner.client.get(path))
        assert "None" not in page.replace("None.", ""), path
