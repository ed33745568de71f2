"""Sign-up and passkeys in Chromium against a real web process, under the real content security policy."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from web.visitors import PASSWORD

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address and home of a web process; passkeys need a name, so it is called localhost."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://localhost:{port}"
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    own |= {"CRYOCLOUD_HOME": str(home), "CRYOCLOUD_ADDRESS": address}
    own["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
    subprocess.run([sys.executable, "-m", "cryocloud.web", "migrate", "-v", "0"], env=own, check=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "cryocloud.web.asgi:application", "--port", str(port)], env=own
    )
    for _ in range(1200):
        try:
            httpx.get(f"{address}/faq/")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield address, home
    process.terminate()
    process.wait(30)


@pytest.fixture
def page(site):
    """A page that remembers every complaint of the browser and every request to somebody else."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    address, _ = site
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_context(base_url=address).new_page()
        page.set_default_timeout(120_000)
        page.complaints = []
        page.on(
            "console", lambda said: said.type in ("error", "warning") and page.complaints.append(said.text)
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(address) or page.complaints.append(asked.url))
        yield page
        browser.close()


def mailed_code(home: Path) -> str:
    latest = max((home / "mail").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    return re.findall(r"^\s+([A-Z0-9]{4}-[A-Z0-9]{4})$", latest.read_text(), re.MULTILINE)[-1]


def sign_up(page, home, email):
    page.goto("/accounts/signup/")
    for field, text in (
        ("name", "Ada Lovelace"),
        ("email", email),
        ("organization", "Lab"),
        ("password1", PASSWORD),
    ):
        page.fill(f"#id_{field}", text)
    page.click("main button:has-text('Sign up')")
    page.wait_for_selector("#id_code")
    page.fill("#id_code", mailed_code(home))
    page.click("main button:has-text('Confirm')")
    page.wait_for_url("**/dashboard/")


def log_out(page):
    page.goto("/accounts/logout/")
    page.click("main button:has-text('Log out')")
    page.wait_for_url(re.compile(r"/$"))


def test_a_passkey_is_added_and_replaces_the_password_and_the_second_factor(page, site):
    sign_up(page, site[1], "ada@lab.example")
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto("/accounts/2fa/webauthn/add/")
    page.fill("#id_password", PASSWORD)
    page.click("main button:has-text('Continue')")
    page.check("#id_passwordless")
    page.click("#mfa_webauthn_add")
    page.wait_for_url("**/recovery-codes/")
    assert len(re.findall(r"^\d{10}$", page.inner_text("main pre"), re.MULTILINE)) == 10
    log_out(page)
    page.goto("/accounts/login/")
    page.click("#passkey_login")
    page.wait_for_url("**/dashboard/")
    log_out(page)
    page.goto("/accounts/login/")
    page.fill("#id_login", "ada@lab.example")
    page.fill("#id_password", PASSWORD)
    page.click("main button:has-text('Log in')")
    page.wait_for_selector("#mfa_webauthn_authenticate")
    page.click("#mfa_webauthn_authenticate")
    page.wait_for_url("**/dashboard/")
    assert page.complaints == []


def test_a_passkey_that_fails_is_explained_on_the_page(page):
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": AUTHENTICATOR | {"hasResidentKey": False, "isUserVerified": False}},
    )
    page.goto("/accounts/login/")
    page.click("#passkey_login")
    page.wait_for_selector("[data-passkey-problem]:visible")
    assert "was not used" in page.inner_text("[data-passkey-problem]")


@pytest.mark.parametrize("width_px", [390, 1280])
def test_no_page_is_wider_than_the_screen_and_no_browser_complains(page, site, width_px):
    page.set_viewport_size({"width": width_px, "height": 800})
    public = (
        "/",
        "/faq/",
        "/plans/",
        "/privacy/",
        "/cookies/",
        "/guide/",
        "/accounts/login/",
        "/accounts/signup/",
    )
    own = (
        "/settings/", "/settings/tokens/", "/organization/", "/organization/new/", "/accounts/email/",
        "/accounts/password/change/", "/accounts/2fa/", "/accounts/sessions/",
    )  # fmt: skip
    for address in public:
        visit(page, address, width_px)
    sign_up(page, site[1], f"grace{width_px}@a-rather-long-name-of-a-laboratory.example")
    for address in own:
        visit(page, address, width_px)
    assert page.complaints == []


def visit(page, address, width_px):
    assert page.goto(address).status == 200
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px, address
