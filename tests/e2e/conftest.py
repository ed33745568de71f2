"""The platform as processes, a mail server, a browser that is watched, and micrographs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from free_port import free_port
from journey_parts import Mailbox, Micrographs, Watched

CHROMIUM = Path("/usr/bin/chromium")
# Without a graphics card the map is drawn by software.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-unsafe-swiftshader",
]  # fmt: skip
STARTED_S = 120.0


@pytest.fixture(scope="module")
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@pytest.fixture(scope="module")
def platform(
    mailbox: tuple[Mailbox, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Address and home of ``cryocloud up``."""
    with _up(tmp_path_factory.mktemp("platform") / "home", mailbox[1], sample=False) as running:
        yield running


@pytest.fixture(scope="module")
def sample_platform(
    mailbox: tuple[Mailbox, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The same as it comes, with the sample data."""
    with _up(tmp_path_factory.mktemp("platform") / "home", mailbox[1], sample=True) as running:
        yield running


@contextmanager
def _up(home: Path, smtp_port: int, *, sample: bool) -> Iterator[tuple[str, Path]]:
    port = free_port()
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    own |= {
        "CRYOCLOUD_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "CRYOCLOUD_SAMPLE_DATA": str(sample).lower(),
    }
    command = [sys.executable, "-m", "cryocloud.client.cli", "up", "--home", str(home), "--port", str(port)]
    process = subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True)
    threading.Timer(STARTED_S, lambda: process.poll() is None and not said and process.kill()).start()
    said: list[str] = []
    assert process.stdout is not None
    said.append(process.stdout.readline())
    assert "CryoCloud is at" in said[0]
    yield f"http://127.0.0.1:{port}", home
    process.terminate()
    process.wait(60)


@pytest.fixture(scope="module")
def watched(platform: tuple[str, Path]) -> Iterator[Watched]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM} (apt-get install chromium)")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        context.set_default_timeout(60_000)
        yield Watched(context.new_page(), *platform)
        browser.close()


@pytest.fixture(scope="module", params=["simulated", "apoferritin"])
def micrographs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Micrographs:
    folder = tmp_path_factory.mktemp("given") / "session"
    folder.mkdir()
    if request.param == "simulated":
        return _simulated(folder)
    return _apoferritin(folder, request.getfixturevalue("data_dir"))


def _apoferritin(folder: Path, data_dir: Path) -> Micrographs:
    files = sorted((data_dir / "apoferritin_10146/micrographs").glob("*.mrc"))[:8]
    if not files:
        pytest.skip(f"no apoferritin_10146 in {data_dir}")
    for file in files:
        shutil.copy(file, folder / file.name)
    profile = {"pixel_size_angstrom": "1.5", "voltage_kv": "300", "spherical_aberration_mm": "2.7"}
    return Micrographs(folder, profile | {"amplitude_contrast": "0.1"}, "125", "O")


def _simulated(folder: Path) -> Micrographs:
    work = folder.parent / "simulation"
    optics = {"voltage_kv": "300", "spherical_aberration_mm": "2.7", "amplitude_contrast": "0.1"}
    _cryocloud("simulate_map", work / "map", model="procedural", pixel_size_angstrom="2.5", symmetry="O")
    _cryocloud(
        "simulate_micrographs", work / "images", map=str(work / "map/map.mrc"), micrographs="6",
        particles_per_micrograph="60", width_px="960", height_px="960", **optics,
    )  # fmt: skip
    for file in sorted((work / "images/micrographs").glob("*.mrc")):
        file.rename(folder / file.name)
    return Micrographs(folder, {"pixel_size_angstrom": "2.5", **optics}, "160", "O")


def _cryocloud(job_type: str, out: Path, **options: str) -> None:
    words = [word for name, value in options.items() for word in ("--" + name.replace("_", "-"), value)]
    command = [sys.executable, "-m", "cryocloud.client.cli", "run", job_type, *words, "--out", str(out)]
    subprocess.run([*command, "--seed", "1"], check=True, capture_output=True)
