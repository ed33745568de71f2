"""Pages of each state in Chromium: wide and narrow, light and dark; a review decided by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from cryocloud.web.accounts.models import User
from cryocloud.web.core.clock import now
from cryocloud.web.organizations.models import Organization, TrialReview
from cryocloud.web.organizations.services import create_organization
from cryocloud.web.organizations.states import State, move, prolong
from platform_server import serving
from web.browsing import looking
from web.pages.laboratory import seed_laboratory
from web_books import EXAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
WIDTHS = [(1280, "light"), (1280, "dark"), (360, "light"), (360, "dark")]


@pytest.fixture
def laboratory(owner, make_member, home):
    """An organization with work and a long history, and somebody who waits for a second trial."""
    seed_laboratory(owner)
    key = owner.organization.pk
    prolong(
        key, now() + timedelta(days=44), reason="The microscope stood still for two weeks.", actor_id="staff"
    )
    bea = make_member(name="bea")
    create_organization(actor=bea.actor, name="Structures of membrane proteins, group of B. Berg")
    waiting = create_organization(
        actor=bea.actor, name="Second lab with a rather long name for a small telephone"
    )
    User.objects.filter(pk=owner.user.pk).update(is_operator=True)
    return bea, waiting


@pytest.mark.parametrize(("width_px", "scheme"), WIDTHS)
def test_no_page_of_a_state_is_too_wide_and_the_browser_complains_of_nothing(
    owner, laboratory, home, width_px, scheme
):
    bea, _ = laboratory
    key, by, wrong = owner.organization.pk, owner.user.pk, []
    screen = {"viewport": {"width": width_px, "height": 900}, "color_scheme": scheme}

    def look_at(client, name, *paths):
        with looking(served.address, client, **screen) as look:
            for path in paths:
                look.visit(path, status=403 if name == "closed" and path != "/organization/" else 200)
                look.keep(f"{name}{path.rstrip('/').replace('/', '_')}".replace(key, "one"))
                told = [one for one in look.found() if "status of 403" not in one]
                wrong.extend(f"{name} {path}: {said}" for said in [*told, look.overflow(width_px)] if said)

    def then(state, reason, actor_id="clock"):
        move(key, state, reason=reason, actor_id=actor_id)

    database = str(connection.settings_dict["NAME"])
    with serving(
        home, database, CRYOCLOUD_BILLING=str(EXAMPLE), CRYOCLOUD_CONTACT="help@cryo.example"
    ) as served:
        look_at(bea.client, "public", "/", "/plans/", "/faq/")
        look_at(bea.client, "review", "/organization/", "/dashboard/", "/organization/new/")
        look_at(owner.client, "trial", "/organization/", "/dashboard/")
        look_at(owner.client, "staff", "/operator/reviews/", "/operator/", f"/operator/organizations/{key}/")
        then(State.TRIAL_ENDED, "The trial is over.")
        look_at(owner.client, "trial_ended", "/organization/", "/dashboard/", "/datasets/")
        then(State.ACTIVE, "The plan “Lab” was chosen.", by)
        look_at(owner.client, "active", "/organization/")
        then(State.PAST_DUE, "A payment failed.")
        look_at(owner.client, "past_due", "/dashboard/")
        then(State.ENDED, "An owner deactivated the plan.", by)
        then(State.RETRIEVAL, "The plan has ended.")
        look_at(owner.client, "retrieval", "/organization/", "/dashboard/")
        then(State.CLOSED, "The time to fetch data is over.")
        look_at(owner.client, "closed", "/organization/", "/dashboard/")
    assert not wrong


def test_a_review_is_decided_by_keyboard(owner, laboratory, home):
    _, waiting = laboratory
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(served.address, owner.client, viewport={"width": 1280, "height": 900}) as look,
    ):
        look.visit("/operator/")
        look.page.get_by_role("link", name="Look at it").press("Enter")
        look.page.get_by_label("Refuse the trial").press("Space")
        look.page.get_by_label("Reason").fill("The same group, three weeks later.")
        look.page.get_by_label("Reason").press("Enter")
        look.page.get_by_text("its owners are told").wait_for()
        assert not look.found()
    assert Organization.objects.get(pk=waiting.pk).state == State.TRIAL_ENDED
    assert TrialReview.unscoped.get(organization=waiting).decision == "refused"
