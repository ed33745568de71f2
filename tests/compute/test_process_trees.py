"""What job processes can hide behind: a first thread that has ended, a leader that has ended, parents that have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from cryocloud.compute.attempt import ProcessIdentity
from cryocloud.compute.isolation.processes import process_stat, use_of_children

EATS = (
    "import ctypes, os, threading, time\n"
    "def eat():\n"
    "    kept = bytearray(b'x' * (200 << 20)); time.sleep(30); os._exit(0)\n"
    "threading.Thread(target=eat).start()\n"
    "time.sleep(1); ctypes.CDLL(None).pthread_exit(None)\n"
)
LEAVES_A_CHILD = "import subprocess; subprocess.Popen(['sleep', '30'])\n"
RUNNER = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], process_group=0)\n"
    "print(child.pid, flush=True); time.sleep(30)\n"
)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.fixture
def body(request: pytest.FixtureRequest) -> Iterator[tuple[ProcessIdentity, int]]:
    """A job process with the source of the parameter, and its session; its runner has been killed."""
    command = [sys.executable, "-c", RUNNER, request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as runner:
        assert runner.stdout is not None
        found = ProcessIdentity.of(int(runner.stdout.readline()))
        time.sleep(1.5)
        runner.kill()
    yield found, runner.pid
    with suppress(ProcessLookupError):
        os.killpg(found.pid, signal.SIGKILL)


def test_memory_counts_although_the_first_thread_has_ended() -> None:
    before = use_of_children().memory_bytes
    with subprocess.Popen([sys.executable, "-c", EATS]) as eater:
        wait_until(lambda: process_stat(eater.pid)[0] == "Z")
        used = use_of_children().memory_bytes - before
        eater.kill()
    assert used > 150 << 20


@pytest.mark.parametrize("body", [EATS, LEAVES_A_CHILD], ids=["thread", "child"], indirect=True)
def test_a_group_ends_although_its_leader_seems_to_have(body: tuple[ProcessIdentity, int]) -> None:
    identity, session = body
    assert not identity.kill_group(session + 1)
    assert identity.kill_group(session)
    wait_until(lambda: not identity.kill_group(session))
