"""Every page of a laboratory in Chromium: nothing blocked or complained of, no barrier, nothing wider than a phone."""

from __future__ import annotations

import re

import pytest
from django.db import connection

from cryocloud.web.accounts.models import User
from cryocloud.web.data.models import Dataset, DatasetFile
from cryocloud.web.organizations.models import Organization, Role
from cryocloud.web.projects.models import Project
from cryocloud.web.results.tasks import make_previews
from cryocloud.web.results.viewers import viewers_of
from cryocloud.web.runs.models import Job, Run
from platform_addresses import pages
from platform_server import serving
from platform_world import make_world
from web.browsing import looking
from web.pages.laboratory import seed_laboratory
from web.results import examples

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
# Not pages: bytes and parts of pages.
PARTS = re.compile(
    r"/(download|archive|preview|previews|plots|live|log|work|active|bell|check|text|logout)(/|$)"
)
LONG = "Apoferritin_with_a_name_that_somebody_typed_without_a_single_space_and_then_went_on_for_a_while_2026"
RIGHT_TO_LEFT = "ריבוזום של חיידק 70S العربية"
EMOJI = "🧬🔬 Grid 👩‍🔬👨‍👩‍👧‍👦 №7 ❄️"
NAMES = (LONG, RIGHT_TO_LEFT, EMOJI)


@pytest.fixture
def paths(owner, home):
    world = make_world(owner)
    laboratory = seed_laboratory(owner)
    Run.unscoped.filter(pk=world.ids["run_id"]).update(state=Run.State.WAITING, doubt=f"{LONG} is round")
    # The seed's job lists a viewer without pictures; those of ``viewer_paths`` have some.
    found = [page.path(world.ids) for page in pages() if "/look/" not in page.template]
    found += [f"/jobs/{job.pk}/" for job in (*laboratory.jobs, laboratory.running, laboratory.failed)]
    found += [f"/runs/{laboratory.run.pk}/", f"/projects/{laboratory.project.pk}/", "/organization/"]
    found += [
        f"/datasets/{laboratory.dataset.pk}/",
        f"/compare/?a={laboratory.jobs[9].pk}&b={laboratory.running.pk}",
    ]
    own = [path for path in dict.fromkeys(found) if not re.match("/(health|first-admin|invitations)/", path)]
    own += viewer_paths(owner)
    return [path for path in own if not PARTS.search(path.partition("?")[0]) and is_page(owner, path)]


def viewer_paths(person):
    """Pages with canvases, of jobs whose pictures were really made."""
    found = []
    for job_type, write in (("refine", examples.write_refine), ("class2d", examples.write_class2d)):
        job = examples.publish(person.organization, person.user, job_type, write)
        make_previews.func(job.pk, organization_id=job.organization_id)
        found += [f"/jobs/{job.pk}/", *(one.url for one in viewers_of(job))]
    assert len(found) > 4
    return found


def is_page(person, path):
    answer = person.client.get(path)
    return answer.status_code == 200 and "text/html" in answer.headers["Content-Type"]


def rename_everything(person, name, make_member):
    """Projects, datasets, runs' words, files, people and the organization all bear the name."""
    make_member(person.organization, Role.VIEWER, name="vera")
    for model in (Project, Dataset):
        model.unscoped.update(name=name)
    Project.unscoped.update(description=f"{name} {name}")
    for file in DatasetFile.unscoped.all():
        DatasetFile.unscoped.filter(pk=file.pk).update(path=f"{name}/{file.pk}_{name}.mrc")
    Job.unscoped.update(notes=name)
    Run.unscoped.filter(state=Run.State.WAITING).update(message=name)
    User.objects.update(name=name)
    Organization.objects.update(name=name)


def walk(person, paths, home, **context):
    """What is wrong on each page, with its address."""
    wrong = []
    width_px = context["viewport"]["width"]
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(served.address, person.client, **context) as look,
    ):
        for path in paths:
            look.visit(path)
            look.wait_for_islands()
            look.keep(re.sub(r"\W+", "_", re.sub(r"\w{26}", "ID", path))[:60])
            found = [*look.found(), *look.barriers(), look.overflow(width_px)]
            wrong += [f"{path}: {said}" for said in found if said]
    return wrong


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1280, 360])
def test_no_browser_complains_nothing_is_blocked_and_nobody_kept_out(owner, paths, home, width_px, scheme):
    wrong = walk(owner, paths, home, viewport={"width": width_px, "height": 800}, color_scheme=scheme)
    assert not wrong, "\n".join(wrong)
    assert len(paths) > 40


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NAMES, ids=["long", "right to left", "emoji"])
def test_no_name_makes_a_page_wider_than_a_phone(owner, make_member, paths, home, name):
    rename_everything(owner, name, make_member)
    wrong = walk(owner, paths, home, viewport={"width": 360, "height": 760})
    assert not wrong, "\n".join(wrong)
    assert len(paths) > 40
