"""Headers and cookies of every answer: no script but ours, no frame, no guessing of types, no leaking address."""

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from platform_addresses import operations, pages
from platform_world import make_world

ADDRESSES = [*pages(), *(one for one in operations() if one.method == "GET")]


@pytest.fixture(autouse=True)
def _fresh_counts():
    cache.clear()


def assert_safe(answer, where):
    policy = answer.headers.get("Content-Security-Policy", "")
    assert "default-src 'none'" in policy, where
    assert "unsafe" not in policy, where
    assert "frame-ancestors 'none'" in policy, where
    assert "http" not in policy.replace("https://", "http"), where
    assert answer.headers.get("X-Content-Type-Options") == "nosniff", where
    assert answer.headers.get("X-Frame-Options") == "DENY", where
    assert answer.headers.get("Referrer-Policy") == "same-origin", where
    for cookie in answer.cookies.values():
        if cookie.value:
            assert cookie["httponly"], f"{where}: {cookie.key}"
            assert cookie["samesite"] in ("Lax", "Strict"), f"{where}: {cookie.key}"


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_every_answer_is_safe(address, owner, home):
    world = make_world(owner)
    path = address.path(world.ids)
    for browser in (owner.client, Client()):
        assert_safe(browser.get(path), path)


def test_errors_are_safe_too(owner):
    for path in ("/nothing/", "/api/v1/nothing", "/projects/aaaa/", "/files/aaaa/download/"):
        assert_safe(owner.client.get(path), path)


def test_files_of_strangers_are_never_shown_as_pages(owner, home):
    """Whatever is in a file, the browser saves it."""
    world = make_world(owner)
    for path in (
        f"/files/{world.ids['file_id']}/download/",
        f"/artifacts/{world.ids['artifact_id']}/download/",
        f"/api/v1/files/{world.ids['file_id']}/content",
        f"/api/v1/artifacts/{world.ids['artifact_id']}/content",
    ):
        answer = owner.client.get(path)
        assert answer.headers["Content-Disposition"].startswith("attachment"), path
        assert answer.headers["Content-Type"] == "application/octet-stream", path
        assert (
            "sandbox" in answer.headers["Content-Security-Policy"] or answer.headers["X-Content-Type-Options"]
        )


def test_cookies_travel_over_https_only_where_the_service_does():
    assert settings.SESSION_COOKIE_HTTPONLY
    assert settings.CSRF_COOKIE_HTTPONLY
    assert settings.CONFIGURATION.is_https == settings.SESSION_COOKIE_SECURE
