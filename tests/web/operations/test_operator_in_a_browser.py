"""The operator's pages in Chromium: wide and narrow, light and dark."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from cryocloud.web.accounts.models import User
from cryocloud.web.audit.services import record_event
from cryocloud.web.core.clock import now
from cryocloud.web.core.models import BackgroundTask, Lease
from cryocloud.web.inbox.models import InvitationRequest, Mail, Thread
from cryocloud.web.operations.history import BACKUP_MADE
from platform_server import serving
from web.browsing import looking
from web.pages.laboratory import seed_laboratory

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PATHS = (
    "/operator/", "/operator/people/", "/operator/people/{person}/", "/operator/organizations/",
    "/operator/organizations/{organization}/", "/operator/reviews/", "/operator/requests/",
    "/operator/requests/?state=spam", "/operator/work/", "/operator/mail/", "/operator/audit/",
)  # fmt: skip


@pytest.fixture
def busy_platform(owner, make_member, home):
    User.objects.filter(pk=owner.user.pk).update(is_operator=True)
    seed_laboratory(owner)
    other = make_member(name="grace.of.a-rather-long-name-in-an-institute-with-a-long-name")
    BackgroundTask.objects.create(
        path="cryocloud.web.results.tasks.draw_previews", arguments={}, state="failed", tries=5,
        organization_id=other.organization.pk, error="Traceback\nValueError: the header of 'x.mrc' says 0 pixels",
    )  # fmt: skip
    Lease.objects.create(
        name="every:core.housekeeping.forget_events", expires_at=now() + timedelta(minutes=9)
    )
    record_event(
        BACKUP_MADE, organization_id="", target=owner.user, folder="/backup/night", files=812, bytes=3 * 10**9
    )
    ask_for_invitations()
    return other


def ask_for_invitations():
    """Three mails: one as people write, one with hardly anything, one that was made to break the page."""
    wide = Thread.objects.create(kind="invitation", sender="eve@evil.example", subject="W" * 300)
    Mail.objects.create(
        thread=wide, fingerprint="1", sender="eve@evil.example", text="x" * 5000, recipient="a@b.example"
    )
    bare = Thread.objects.create(kind="invitation")
    Mail.objects.create(
        thread=bare,
        fingerprint="2",
        recipient="a@b.example",
        notes=["This mail has no sender that could be answered."],
    )
    asked = Thread.objects.create(
        kind="invitation", sender="grace@uni.example", subject="May I use CryoCloud?", acknowledged_at=now()
    )
    for number, text in enumerate(
        ("Dear all,\nmay I use it for apoferritin?\n\nGrace Hopper", "And my colleague?")
    ):
        Mail.objects.create(
            thread=asked, fingerprint=f"g{number}", sender=asked.sender, text=text, recipient="a@b.example",
            subject=asked.subject, attachments=1 - number, notes=["1 attachment was not kept."][number:],
        )  # fmt: skip
    InvitationRequest.objects.create(thread=wide, email="eve@evil.example", name="Eve " * 30)
    InvitationRequest.objects.create(thread=bare, state="spam")
    InvitationRequest.objects.create(thread=asked, email="grace@uni.example", name="Grace Hopper")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [360, 1280])
def test_no_page_is_wider_than_the_screen_and_the_browser_complains_of_nothing(
    owner, busy_platform, home, width_px, scheme
):
    wrong = []
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(
            served.address,
            owner.client,
            viewport={"width": width_px, "height": 800},
            color_scheme=scheme,
        ) as look,
    ):
        for template in PATHS:
            path = template.format(person=busy_platform.user.pk, organization=busy_platform.organization.pk)
            look.visit(path)
            name = path.replace("/", "_").replace("?", "_")
            keep_picture(look.page, f"operator{name[:21]}{name[-5:]}{width_px}_{scheme}.png")
            wrong += [f"{path}: {said}" for said in [*look.found(), look.overflow(width_px)] if said]
    assert not wrong


def test_an_account_is_closed_and_limits_are_set_by_keyboard_and_mouse(owner, busy_platform, home):
    with (
        serving(home, str(connection.settings_dict["NAME"])) as served,
        looking(served.address, owner.client) as look,
    ):
        look.visit(f"/operator/organizations/{busy_platform.organization.pk}/")
        look.page.fill("#id_compute_hours_max", "250")
        look.page.fill("#id_reason", "new grant")
        look.page.press("#id_reason", "Enter")
        look.page.wait_for_selector("text=The limits of")
        assert "250 h 00 min" in look.page.inner_text("main")
        look.visit("/operator/people/?q=grace")
        look.page.click("main a:has-text('Close')")
        look.page.fill("#reason", "has left")
        look.page.click("button:has-text('Close the account')")
        look.page.wait_for_selector("text=is closed")
        assert look.found() == []
    assert not User.objects.get(pk=busy_platform.user.pk).is_active


def keep_picture(page, name):
    """For a person to look at, where a folder for it is named."""
    folder = os.environ.get("PICTURES")
    if folder:
        page.screenshot(path=str(Path(folder) / name), full_page=True)
