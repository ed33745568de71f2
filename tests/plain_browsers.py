"""Two browsers behind one narrow door: what a person does with a page, counted in clicks."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError

CHROMIUM, FIREFOX = Path("/usr/bin/chromium"), Path("/usr/bin/firefox-esr")
WIDTH_PX, HEIGHT_PX = 1280, 900
# A slow computer without 3D graphics, on a slow line.
SLOWER, BITS_PER_S, LATENCY_MS = 4, 10_000_000, 40
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-3d-apis",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


class PlainBrowser(ABC):
    """``open``, ``click``, ``fill``, ``give_files`` and ``tell``, each by a CSS selector; ``clicks`` are counted."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.clicks: list[str] = []

    def click(self, selector: str) -> None:
        self.clicks.append(selector)
        self._click(selector)

    def has(self, selector: str) -> bool:
        return bool(self.tell(f"document.querySelector({selector!r}) !== null"))

    def text(self, selector: str = "main") -> str:
        return str(self.tell(f"document.querySelector({selector!r})?.innerText ?? ''"))

    @abstractmethod
    def open(self, path: str) -> None: ...

    @abstractmethod
    def fill(self, selector: str, text: str) -> None: ...

    @abstractmethod
    def give_files(self, selector: str, files: list[Path]) -> None: ...

    @abstractmethod
    def tell(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""

    @abstractmethod
    def _click(self, selector: str) -> None: ...


class SlowChromium(PlainBrowser):
    def __init__(self, address: str, page: Any) -> None:
        super().__init__(address)
        self.page = page

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)

    def fill(self, selector: str, text: str) -> None:
        self.page.locator(selector).fill(text)

    def give_files(self, selector: str, files: list[Path]) -> None:
        self.page.locator(selector).set_input_files([str(file) for file in files])

    def tell(self, expression: str) -> Any:
        """A page that has just been left is asked again where it led to."""
        try:
            return self.page.evaluate(expression)
        except PlaywrightError as error:
            if "context was destroyed" not in str(error):
                raise
            self.page.wait_for_load_state()
            return self.page.evaluate(expression)

    def _click(self, selector: str) -> None:
        self.page.locator(selector).first.click()
        self.page.wait_for_load_state()


class Firefox(PlainBrowser):
    def __init__(self, address: str, marionette: Any, by_css: str) -> None:
        super().__init__(address)
        self.marionette, self.by_css = marionette, by_css

    def open(self, path: str) -> None:
        self.marionette.navigate(self.address + path)

    def fill(self, selector: str, text: str) -> None:
        field = self._find(selector)
        field.clear()
        field.send_keys(text)

    def give_files(self, selector: str, files: list[Path]) -> None:
        # A hidden input takes no keys.
        self.tell(f"document.querySelector({selector!r}).hidden = false")
        for file in files:
            self._find(selector).send_keys(str(file))

    def tell(self, expression: str) -> Any:
        return self.marionette.execute_script(f"return {expression}", sandbox=None)

    def _click(self, selector: str) -> None:
        self._find(selector).click()

    def _find(self, selector: str) -> Any:
        return self.marionette.find_element(self.by_css, selector)


@contextmanager
def slow_chromium(address: str) -> Iterator[PlainBrowser]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        context.set_default_timeout(120_000)
        page = context.new_page()
        wire = context.new_cdp_session(page)
        wire.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        bytes_per_s = BITS_PER_S / 8
        line = {"offline": False, "latency": LATENCY_MS, "downloadThroughput": bytes_per_s}
        wire.send("Network.emulateNetworkConditions", line | {"uploadThroughput": bytes_per_s})
        yield SlowChromium(address, page)
        browser.close()


@contextmanager
def firefox(address: str) -> Iterator[PlainBrowser]:
    driver = pytest.importorskip("marionette_driver")
    library = pytest.importorskip("marionette_driver.marionette")
    if not FIREFOX.exists():
        pytest.skip(f"no {FIREFOX} (apt-get install firefox-esr)")
    own = Path(tempfile.mkdtemp(prefix="firefox-"))
    marionette = library.Marionette(
        host="127.0.0.1", port=0, bin=str(FIREFOX), headless=True, gecko_log=str(own / "gecko.log")
    )
    marionette.start_session()
    profile = marionette.instance.profile.profile
    marionette.timeout.page_load = marionette.timeout.script = 120
    marionette.timeout.implicit = 20
    marionette.set_window_rect(width=WIDTH_PX, height=HEIGHT_PX)
    yield Firefox(address, marionette, driver.By.CSS_SELECTOR)
    marionette.quit()
    marionette.cleanup()
    for folder in (profile, own):
        shutil.rmtree(folder, ignore_errors=True)
