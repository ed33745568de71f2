"""A real browser on a real web process, for tests that look at many pages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parents[2] / "islands/node_modules/axe-core/axe.min.js"
RUN_AXE = """() => axe.run({
    resultTypes: ["violations"],
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
})"""
SERIOUS = ("serious", "critical")
DRAWN_S = 60.0
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-angle=swiftshader",
]  # fmt: skip
TELL_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


class Look:
    """One tab: it remembers complaints of the browser, breaches of the content policy and requests to others."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        page.set_default_timeout(60_000)
        page.add_init_script(TELL_VIOLATIONS)
        page.on(
            "console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                asked.url.startswith((address, "data:", "blob:")) or self.complaints.append(asked.url)
            ),
        )

    def visit(self, path: str, *, status: int = 200) -> None:
        """Open it and wait for its scripts; event streams stay open, so the network never falls silent."""
        answer = self.page.goto(self.address + path, wait_until="load")
        # A page that leads on by itself at that moment takes the answer along.
        answer = answer or self.page.reload(wait_until="load")
        assert answer.status == status, f"{path}: {answer.status}"
        self.page.wait_for_timeout(150)

    def found(self) -> list[str]:
        """What was complained of since the last time."""
        found, self.complaints = self.complaints + self.page.evaluate("window.violations"), []
        return found

    def wait_for_islands(self) -> None:
        busy = self.page.locator("[data-started]:not([data-ready], [data-failed])")
        give_up = time.monotonic() + DRAWN_S
        while busy.count() and time.monotonic() < give_up:
            self.page.wait_for_timeout(100)
        if busy.count() or self.page.locator("[data-failed]").count():
            self.complaints.append("an island is not ready")

    def barriers(self) -> list[str]:
        """What axe finds that keeps people out: WCAG 2.2 AA, serious and critical."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        return [
            f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for one in self.page.evaluate(RUN_AXE)["violations"]
            if one["impact"] in SERIOUS
            for node in one["nodes"][:3]
        ]

    def picture(self, name: str) -> None:
        """Nothing is wider than the window, and the page is kept."""
        wide = self.overflow(self.page.viewport_size["width"])
        assert not wide, f"{name}: {wide}"
        self.keep(name)

    def keep(self, name: str) -> None:
        """As a picture for a person to look at, where PICTURES names a folder for it."""
        folder = os.environ.get("PICTURES")
        if folder:
            is_dark = self.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
            kind = f"{self.page.viewport_size['width']}_{'dark' if is_dark else 'light'}"
            self.page.screenshot(path=str(Path(folder) / f"{name}_{kind}.png"), full_page=True)

    def overflow(self, width_px: int) -> str:
        """What reaches beyond the right edge; empty where the page does not scroll sideways."""
        if self.page.evaluate("document.documentElement.scrollWidth") <= width_px:
            return ""
        return str(
            self.page.evaluate(
                """(width) => [...document.body.querySelectorAll("*")]
                    .filter((one) => one.getBoundingClientRect().right > width + 1)
                    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().width > 1)
                    .filter((one) => !one.parentElement.closest(".scroll, .tabs, pre, table"))
                    .slice(-2).map((one) => one.outerHTML.slice(0, 160)).join(" | ")""",
                width_px,
            )
        )


@contextmanager
def looking(address: str, client: Any, **context: Any) -> Iterator[Look]:
    """A tab in which the person of Django's test ``client`` is logged in."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_context(base_url=address, **context)
        tab.add_cookies([{"name": "session", "value": client.cookies["session"].value, "url": address}])
        try:
            yield Look(tab.new_page(), address)
        finally:
            browser.close()
