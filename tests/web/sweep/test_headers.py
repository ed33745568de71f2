"""Headers and cookies of every answer: no script but ours, no frame, no guessing of types, no leaking address."""

from pathlib import Path

from django.conf import settings
from django.test import Client

from cryocloud.web.operations.first_admin import offer_first_link
from cryocloud.web.organizations.watch import watch
from platform_addresses import operations, pages
from platform_world import make_world
from web.sweep.test_strangers import undone
from web_data import bytes_of

REPOSITORY = Path(__file__).parents[3]
ADDRESSES = [*pages(), *(one for one in operations() if one.method == "GET")]


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


def test_every_answer_is_safe(owner, home):
    world = make_world(owner)
    for address in ADDRESSES:
        path = address.path(world.ids)
        with undone():
            assert_safe(owner.client.get(path), path)
            assert_safe(Client().get(path), path)


def test_nothing_that_is_shown_to_a_person_is_kept_anywhere(owner, home, monkeypatch):
    world = make_world(owner)
    watched = []
    monkeypatch.setattr(watch, "begin", lambda right, end: watched.append(right))
    monkeypatch.setattr(watch, "drop", lambda holder: None)
    token = {"Authorization": f"Bearer {owner.secret}"}
    for address in ADDRESSES:
        path = address.path(world.ids)
        with undone():
            for answer in (owner.client.get(path), Client().get(path, headers=token)):
                assert answer.headers["Cache-Control"] == "no-store", path
                if answer.streaming:
                    bytes_of(answer)
                    right = watched.pop()
                    assert right.organization_id == owner.organization.id, f"{path} outlasts the right to it"


def test_pages_for_everybody_and_static_files_may_be_kept(client, db):
    for path in ("/", "/faq/", "/plans/", "/privacy/", "/guide/", "/static/icon.svg"):
        assert "no-store" not in client.get(path).headers.get("Cache-Control", ""), path


def test_answers_on_the_way_to_a_credential_are_not_kept(client, db, home):
    for path in ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/api/v1/me"):
        assert client.get(path).headers["Cache-Control"] == "no-store", path
    assert client.get(offer_first_link()).headers["Cache-Control"] == "no-store"


def test_logging_out_empties_what_the_browser_has_kept(owner):
    answer = owner.client.post("/accounts/logout/")
    assert answer.status_code == 302
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert owner.client.get("/dashboard/").status_code == 302


def test_no_script_of_ours_keeps_anything_in_the_browser():
    """Requirement 14.3.3 of ASVS: there is nothing sensitive in a store that outlives the page."""
    sources = [path for path in (REPOSITORY / "islands").rglob("*.ts") if "node_modules" not in path.parts]
    assert sources
    for path in sources:
        text = path.read_text(encoding="utf-8")
        for store in ("localStorage", "sessionStorage", "indexedDB", "document.cookie", "caches.open"):
            assert store not in text, path


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
