"""Anonymous load on a real web process with its real password hashes, and a visitor who notices little of it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pytest

from free_port import free_port
from raw_http import RawConnection

MEMORY_MIB_MAX = 400
# Two seconds on a machine of its own; tests share theirs with others.
VISIT_S_MAX = 5 * 2.0
PASSWORD = "the Thon rings are round"
CSRF = "a" * 32
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Load:
    bodies: int
    half_requests: int
    log_ins: int
    guesses: int


QUICK = Load(bodies=3, half_requests=500, log_ins=30, guesses=150)
FULL = Load(bodies=20, half_requests=2000, log_ins=100, guesses=10_000)


@dataclass
class Platform:
    """A web process, and what was seen of it."""

    address: str
    process: subprocess.Popen[bytes]
    visits_s: list[float] = field(default_factory=list)

    @property
    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    port = free_port()
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    own |= {
        "CRYOCLOUD_HOME": str(tmp_path / "home"),
        "CRYOCLOUD_PORT": str(port),
        "CRYOCLOUD_PROXIES": "127.0.0.1",
    }
    platform = [sys.executable, "-m", "cryocloud.web"]
    prepared = subprocess.run([*platform, "prepare"], env=own, capture_output=True, text=True, check=True)
    first_link = json.loads(prepared.stdout.splitlines()[-1])["first_link"]
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen([*platform, "serve"], env=own, stdout=log, stderr=log)
    try:
        found = Platform(f"http://127.0.0.1:{port}", process)
        wait_for_answer(port)
        make_account(found.address, first_link)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for_answer(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    pytest.fail("the web process does not listen")


def make_account(address: str, first_link: str) -> None:
    with browser(address) as client:
        client.get(first_link)
        form = {
            "name": "Ada",
            "email": "ada@lab.example",
            "organization": "Lab",
            "password": PASSWORD,
            "csrfmiddlewaretoken": client.cookies["csrf"],
        }
        assert client.post(first_link, data=form).status_code == 302


def browser(address: str, source: str = "127.0.0.2") -> httpx.Client:
    return httpx.Client(base_url=address, timeout=60, transport=httpx.HTTPTransport(local_address=source))


def visit(platform: Platform) -> None:
    """Somebody who was never here logs in and looks at a page."""
    began_s = time.monotonic()
    with browser(platform.address) as client:
        page = client.get("/accounts/login/")
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token, page.text
        form = {"login": "ada@lab.example", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        logged_in = client.post("/accounts/login/", data=form)
        assert logged_in.status_code == 302, logged_in.text
        assert client.get("/settings/", follow_redirects=True).status_code == 200
    platform.visits_s.append(time.monotonic() - began_s)


def log_in_form(number: int) -> bytes:
    return f"login=nobody{number}%40lab.example&password=wrong+wrong&csrfmiddlewaretoken={CSRF}".encode()


def pour_a_body(address: str, seen: Counter[str], number: int) -> None:
    """400 MiB to the log-in page, as far as the server takes it."""
    connection = RawConnection(address, source="127.0.0.4", timeout_s=60)
    piece = b"10000\r\n" + (64 << 10) * b"x" + b"\r\n"
    sent = 0
    with contextlib.suppress(OSError):
        connection.send("POST", "/accounts/login/", Content_Type=FORM, Transfer_Encoding="chunked")
        for _ in range(400 * 16):
            connection.socket.sendall(piece)
            sent += len(piece)
    seen["bodies that were taken whole"] += sent > 399 << 20
    connection.close()


def send_half_requests(address: str, seen: Counter[str], amount: int) -> None:
    half = []
    for _ in range(amount):
        with contextlib.suppress(OSError):
            connection = RawConnection(address, source="127.0.0.5", timeout_s=30)
            connection.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
            half.append(connection)
            seen["half requests"] += 1
    time.sleep(1)
    for connection in half:
        connection.close()


def log_in_once(address: str, seen: Counter[str], number: int) -> None:
    connection = RawConnection(address, source="127.0.0.6", timeout_s=120)
    with contextlib.suppress(OSError):
        answer = connection.ask(
            "POST", "/accounts/login/", log_in_form(number), Content_Type=FORM, Cookie=f"csrf={CSRF}"
        )
        seen[f"log-in {answer.status}"] += 1
    connection.close()


def guess(address: str, seen: Counter[str], numbers: range) -> None:
    """From one IPv6 network, as its proxy tells it."""
    connection = RawConnection(address, timeout_s=120)
    for number in numbers:
        answer = connection.ask(
            "POST",
            "/accounts/login/",
            log_in_form(number),
            Content_Type=FORM,
            Cookie=f"csrf={CSRF}",
            X_Forwarded_For=f"2001:db8:7:7::{number:x}",
        )
        seen[f"guess {answer.status}"] += 1
    connection.close()


def attack(address: str, load: Load, told: Connection) -> None:
    """Runs in a process of its own, at a low priority: strangers bring their own processors."""
    os.nice(10)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    seen: Counter[str] = Counter()
    tasks: list[tuple[Callable[..., None], object]] = [
        *((pour_a_body, number) for number in range(load.bodies)),
        (send_half_requests, load.half_requests),
        *((log_in_once, number) for number in range(load.log_ins)),
        *((guess, range(lane, load.guesses, 4)) for lane in range(4)),
    ]
    threads = [threading.Thread(target=act, args=(address, seen, given)) for act, given in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.send(seen)


def run_load(platform: Platform, load: Load) -> Counter[str]:
    """What the strangers saw, while a visitor came again and again."""
    heard, told = multiprocessing.Pipe(duplex=False)
    strangers = multiprocessing.get_context("fork").Process(
        target=attack, args=(platform.address, load, told)
    )
    strangers.start()
    told.close()
    while not heard.poll(0.5):
        visit(platform)
    seen: Counter[str] = heard.recv()
    strangers.join()
    visit(platform)
    return seen


@pytest.mark.parametrize(
    "load", [pytest.param(QUICK, id="quick"), pytest.param(FULL, id="full", marks=pytest.mark.slow)]
)
@pytest.mark.timeout(1200)
def test_under_anonymous_load_memory_stays_small_and_a_visitor_is_served(platform, load, record_property):
    visit(platform)
    seen = run_load(platform, load)
    record_property("memory_mib", platform.memory_mib)
    record_property("longest_visit_s", max(platform.visits_s))
    print(f"{platform.memory_mib:.0f} MiB, visits {sorted(platform.visits_s)[-5:]}, {seen}")
    assert platform.memory_mib < MEMORY_MIB_MAX
    assert max(platform.visits_s) < VISIT_S_MAX
    assert seen["bodies that were taken whole"] == 0
    assert seen["guess 200"] + seen["guess 503"] <= 30 + load.guesses // 10
    assert seen["guess 429"] > load.guesses * 0.6
