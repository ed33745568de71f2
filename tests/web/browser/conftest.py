"""A real web process over the home of an organization that has worked for a while, and real browsers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from free_port import free_port

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader",
]  # fmt: skip
STARTED_S = 60.0


@dataclass(frozen=True)
class Site:
    """``told`` are the ids that the seed made, and the session of each role."""

    address: str
    told: dict[str, Any]

    def cookie(self, role: str) -> dict[str, str]:
        return {"name": "session", "value": self.told["sessions"][role], "url": self.address}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    own |= {"CRYOCLOUD_HOME": str(home), "CRYOCLOUD_ADDRESS": f"http://127.0.0.1:{port}"}
    own["CRYOCLOUD_SECRET_KEY"] = "a key for these tests alone " * 3
    own["DJANGO_SETTINGS_MODULE"] = "cryocloud.web.settings"
    subprocess.run([sys.executable, "-m", "cryocloud.web", "migrate", "-v", "0"], env=own, check=True)
    seeded = subprocess.run(
        [sys.executable, str(HERE / "seed.py")], env=own, check=True, stdout=subprocess.PIPE, text=True
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "cryocloud.web.asgi:application", "--port", str(port)], env=own
    )
    address = f"http://127.0.0.1:{port}"
    _wait_for(address)
    yield Site(address, json.loads(seeded.stdout.splitlines()[-1]))
    process.terminate()
    process.wait(30)


def _wait_for(address: str) -> None:
    give_up = time.monotonic() + STARTED_S
    while time.monotonic() < give_up:
        try:
            httpx.get(f"{address}/faq/")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"{address} does not answer")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    library = pytest.importorskip("playwright.sync_api")
    with library.sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def chromium(playwright: Any) -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def visit(chromium: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """``visit(width_px, scheme="light", role="owner")`` gives a page of a browser that is logged in."""
    contexts = []

    def open_page(width_px: int, scheme: str = "light", role: str | None = "owner", **options: Any) -> Any:
        context = chromium.new_context(
            viewport={"width": width_px, "height": 900}, color_scheme=scheme, base_url=site.address, **options
        )
        contexts.append(context)
        if role:
            context.add_cookies([site.cookie(role)])
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
