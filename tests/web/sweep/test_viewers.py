"""A viewer is offered nothing that is refused to them: every link and every form of every page is tried."""

from __future__ import annotations

import re

import pytest

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.data.models import Dataset
from cryocloud.web.organizations.models import Role
from cryocloud.web.runs.models import Job, Run
from page_offers import Offers
from platform_addresses import pages
from platform_world import make_world
from web.pages.laboratory import seed_laboratory

# What ends the session, or changes the account with which the test looks.
LEFT_ALONE = ("/accounts/", "/settings/", "/organization/members/")
OWN = [page for page in pages() if not page.template.startswith(("/accounts/", "/operator/"))]


@pytest.fixture
def viewer(owner, make_member):
    return make_member(owner.organization, Role.VIEWER, name="vera")


@pytest.fixture
def ids(owner, home):
    """Of a world in which every state has something to offer to those who may."""
    world = make_world(owner)
    laboratory = seed_laboratory(owner)
    Run.unscoped.filter(pk=laboratory.run.pk).update(state=Run.State.WAITING, doubt="the map is round")
    Dataset.unscoped.create(
        organization=owner.organization, created_by_id=owner.user.pk, name="Thrown away", trashed_at=now()
    )
    return world.ids


def offers_of(person, path):
    answer = person.client.get(path)
    if answer.status_code != 200 or "text/html" not in answer.headers.get("Content-Type", ""):
        return answer.status_code, None
    return 200, Offers(path.partition("?")[0], answer.content.decode())


def refused_offers(person, path, seen):
    """The offers of a page that answer with 403; a link that stands on many pages is tried once."""
    _, offers = offers_of(person, path)
    if offers is None:
        return []
    tried = [link for link in offers.links if not link.startswith(("/static/", *LEFT_ALONE))]
    seen |= {link: person.client.get(link).status_code for link in tried if link not in seen}
    refused = [link for link in tried if seen[link] == 403]
    forms = [form for form in offers.forms if not form.action.startswith(LEFT_ALONE)]
    answers = [(form, person.client.post(form.action, form.fields).status_code) for form in forms]
    return refused + [f"POST {form.action}" for form, status in answers if status == 403]


def every_page(ids):
    """Addresses of pages, once for each row of the kinds that look different by state."""
    found = [page.path(ids) for page in OWN]
    found += [f"/jobs/{pk}/" for pk in Job.unscoped.values_list("pk", flat=True)]
    found += [f"/runs/{pk}/" for pk in Run.unscoped.values_list("pk", flat=True)]
    found += [
        "/dashboard/?archived=yes",
        *(f"/datasets/{pk}/" for pk in Dataset.unscoped.values_list("pk", flat=True)),
    ]
    return [path for path in dict.fromkeys(found) if not re.match("/(health|first-admin|invitations)/", path)]


@pytest.mark.parametrize("open_to_all", [True, False])
def test_no_page_offers_a_viewer_what_they_may_not_do(viewer, owner, ids, open_to_all, monkeypatch):
    fresh = configuration().model_copy(update={"sign_up_open": open_to_all})
    monkeypatch.setattr("cryocloud.web.configuration._of_environment", lambda: fresh)
    seen = {}
    refused = {path: refused for path in every_page(ids) if (refused := refused_offers(viewer, path, seen))}
    assert not refused


def test_the_offers_are_there_for_those_who_may(owner, ids):
    """Otherwise the walk above would find nothing because it looks at nothing."""
    found = {path: offers_of(owner, path)[1] for path in every_page(ids)}
    actions = {
        re.sub(r"\w{26}", "ID", form.action) for offers in found.values() if offers for form in offers.forms
    }
    expected = {
        "/jobs/ID/cancel/",
        "/jobs/ID/retry/",
        "/runs/ID/accept/",
        "/datasets/ID/restore/",
    }
    missing = expected - actions
    assert not missing
