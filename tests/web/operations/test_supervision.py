"""What the operator's machine does to the platform: freezing, pausing, filling logs, stopping in the middle."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cryocloud.web.children import Child, end_all
from platform_up import alive, answers, command_of, environment, running, wait_for

FROZEN_AFTER_S = 10


def processes_below(word):
    """Numbers of all processes that name it."""
    pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()]
    return [pid for pid in pids if any(str(word) in part for part in command_of(pid)) and alive(pid)]


def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def continued(pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_frozen_process_is_replaced(tmp_path):
    with running(tmp_path / "home", CRYOCLOUD_FROZEN_AFTER_S=str(FROZEN_AFTER_S)) as platform:
        platform.wait_ready()
        former = platform.children()
        assert set(former) == {"serve", "scheduler", "worker"}
        stopped(former.values())
        wait_for(lambda: not any(alive(pid) for pid in former.values()))
        wait_for(lambda: set(platform.children()) == set(former))
        platform.wait_ready()
        assert "frozen" in (tmp_path / "home/logs/up.log").read_text()


BEATER = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    os.write(int(sys.argv[3]), b".")
    time.sleep(0.1)
time.sleep(600)
"""


@pytest.mark.parametrize(("beats", "replaced"), [(3, True), (1000, False)])
def test_only_what_gives_no_sign_of_life_is_ended(tmp_path, beats, replaced):
    command = [sys.executable, "-c", BEATER, str(beats)]
    child = Child("beater", command, lambda: (tmp_path / "log").open("ab"), frozen_after_s=1.0)
    child.start()
    (former,) = processes_below(BEATER)
    try:
        for _ in range(30):
            child.keep_alive()
            time.sleep(0.1)
        assert alive(former) is not replaced
    finally:
        end_all([child])


@pytest.mark.slow
def test_a_suspended_machine_is_no_frozen_process(tmp_path):
    with running(tmp_path / "home", CRYOCLOUD_FROZEN_AFTER_S=str(FROZEN_AFTER_S)) as platform:
        platform.wait_ready()
        former = platform.children()
        everything = [platform.process.pid, *former.values()]
        stopped(everything)
        time.sleep(1.5 * FROZEN_AFTER_S)
        continued(everything)
        time.sleep(1.5 * FROZEN_AFTER_S)
        assert platform.children() == former


def requests_in(logs):
    lines = [line for log in logs for line in log.read_text().splitlines()]
    return [entry for entry in map(json.loads, lines) if entry.get("event") == "request"]


def test_logs_of_a_running_platform_are_set_aside_and_no_line_is_lost(tmp_path):
    asked = 0
    folder = tmp_path / "home" / "logs"
    with running(tmp_path / "home", CRYOCLOUD_LOG_BYTES_MAX="8000") as platform:
        wait_for(lambda: answers(platform))
        while len(list(folder.glob("serve.log.*"))) < 2:
            assert platform.get("/faq/")[0] == 200
            asked += 1
            assert asked < 3000
        platform.stop()
    found = [entry for entry in requests_in(folder.glob("serve.log*")) if entry["route"].startswith("faq")]
    assert len(found) == asked
    assert all(stat.S_IMODE(log.stat().st_mode) == 0o600 for log in folder.iterdir())


WRITER = """
import subprocess, sys, threading, time
from pathlib import Path
from cryocloud.web.core.supervised import set_aside_if_large

def bound():
    while True:
        set_aside_if_large(Path(sys.argv[1]), int(sys.argv[2]))
        time.sleep(0.002)

threading.Thread(target=bound, daemon=True).start()
for number in range(3000):
    print(number, file=sys.stderr, flush=True)
    time.sleep(0.0003)
    if number % 1000 == 0:
        subprocess.run(["sh", "-c", "echo of a child; echo of a child >&2"])
"""


@pytest.mark.parametrize(("bytes_max", "kept"), [(6000, "all"), (500, "the newest")])
def test_a_log_is_bounded_and_whole_lines_of_children_are_kept(tmp_path, bytes_max, kept):
    log = tmp_path / "a.log"
    with log.open("ab") as stream:
        command = [sys.executable, "-c", WRITER, str(log), str(bytes_max)]
        subprocess.run(command, stdout=stream, stderr=stream, check=True, timeout=120)
    files = sorted(tmp_path.glob("a.log*"))
    assert len(files) <= 5
    lines = [line for file in sorted(files, reverse=True) for line in file.read_text().splitlines()]
    numbers = [int(line) for line in lines if line.isdecimal()]
    assert numbers == list(range(3000 - len(numbers), 3000))
    if kept == "all":
        assert len(numbers) == 3000
        assert lines.count("of a child") == 6


def test_a_home_that_was_open_to_others_is_closed_at_the_start(tmp_path):
    home = tmp_path / "home"
    for path in ("db.sqlite3", "db.sqlite3-wal", "up.lock", "secret-key", "logs/serve.log", "mail/1.eml"):
        (home / path).parent.mkdir(parents=True, mode=0o755, exist_ok=True)
        (home / path).touch(mode=0o644)
    (home / "secret-key").write_text("k" * 60)
    (home / "blobs").mkdir(mode=0o755)
    home.chmod(0o755)
    prepared = subprocess.run(
        [sys.executable, "-m", "cryocloud.web", "prepare", "--home", str(home)],
        capture_output=True,
        text=True,
        check=False,
        env=environment({}),
        umask=0o022,
        timeout=120,
    )
    assert prepared.returncode == 0, prepared.stderr
    open_ones = [one for one in (home, *home.rglob("*")) if one.stat().st_mode & 0o077]
    assert open_ones == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a home to somebody else")
def test_a_home_of_somebody_else_that_is_open_is_refused():
    script = (
        "import os, sys; from pathlib import Path; from cryocloud.web.operations.home import make_home\n"
        "os.setgid(65534); os.setuid(65534); make_home(Path(sys.argv[1]))"
    )
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o777)
        command = [sys.executable, "-c", script, home]
        refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "is open to other users of this machine (mode 0777) and belongs to user 0" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_platform_that_stops_while_it_makes_the_sample_leaves_nothing_running(tmp_path, how):
    home = tmp_path / "home"
    with running(home, CRYOCLOUD_SAMPLE_DATA="true") as platform:
        wait_for(lambda: len(processes_below(home / "sample.making")) >= 2)
        os.kill(platform.process.pid, how)
        platform.process.communicate(timeout=60)
        wait_for(lambda: not processes_below(home))


ORDERER = """
import json, os, subprocess, sys, time
order = {"job_type": "simulate_map", "parameters": {"model": "procedural", "pixel_size_angstrom": 1.0}, "inputs": {},
         "out": sys.argv[1], "seed": 1, "progress": "json"}
lane = subprocess.Popen([sys.executable, "-m", "cryocloud.compute.lane", "--attached"], stdin=subprocess.PIPE)
lane.stdin.write(json.dumps(order).encode() + b"\\n")
lane.stdin.flush()
print(lane.pid, flush=True)
time.sleep(600)
"""


def test_a_job_ends_with_the_process_that_ordered_it(tmp_path):
    orderer = subprocess.Popen(
        [sys.executable, "-c", ORDERER, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert orderer.stdout is not None
    lane = int(orderer.stdout.readline())
    wait_for(lambda: processes_below(tmp_path / "out"))
    orderer.kill()
    orderer.wait()
    wait_for(lambda: not alive(lane) and not processes_below(tmp_path / "out"))
