"""What a user keeps when a job is killed, cancelled, or started twice."""

import json
import os
import signal
from pathlib import Path

import pytest

SLOW = ("run", "counting", "--steps", 25, "--step-s", 0.1, "--out", "o")


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def pid_of_runner(out: Path) -> int:
    return read(out / ".attempt/started.json")["pid"]


def pid_of_job(out: Path) -> int:
    children = Path(f"/proc/{pid_of_runner(out)}/task/{pid_of_runner(out)}/children").read_text()
    return int(children.split()[0])


def steps_saved(out: Path) -> bool:
    return (out / ".checkpoint/checkpoint.npz").exists()


@pytest.mark.parametrize("victim", ["command", pytest.param("runner", marks=pytest.mark.slow), "job"])
def test_killed_job_goes_on_where_it_was(cryocloud, start, wait_until, tmp_path, victim):
    out = tmp_path / "o"
    process = start(*SLOW)
    wait_until(lambda: steps_saved(out))
    runner, job = pid_of_runner(out), pid_of_job(out)
    os.kill({"command": process.pid, "runner": runner, "job": job}[victim], signal.SIGKILL)
    assert process.wait(timeout=150) == (-signal.SIGKILL if victim == "command" else 1)
    again = cryocloud(*SLOW)
    assert again.returncode == 0, again.stderr
    assert "going on from step" in (out / "log.txt").read_text()
    assert (out / "sum.txt").read_text() == "25.0\n"
    assert not Path(f"/proc/{job}").exists(), "a job without its runner must not live on"
    # Both attempts together took at least the 25 steps of 0.1 s.
    assert read(out / "job.json")["wall_s"] >= 2.5


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_cancelled_job_ends_cleanly_and_can_go_on(cryocloud, start, wait_until, tmp_path, number):
    out = tmp_path / "o"
    process = start(*SLOW)
    wait_until(lambda: steps_saved(out))
    process.send_signal(number)
    assert process.wait(timeout=150) == 130
    assert "stopped; it goes on from here when it is run again" in process.stderr.read()
    assert read(out / ".attempt/exit.json")["code"] == 130
    assert cryocloud(*SLOW).returncode == 0
    assert (out / "sum.txt").read_text() == "25.0\n"


def test_second_command_in_the_same_folder_is_refused(cryocloud, start, wait_until, tmp_path):
    # So many steps that the first is still at work when the second has started, however busy the machine is.
    order = ("run", "counting", "--steps", 1000, "--step-s", 0.3, "--out", "o")
    process = start(*order)
    wait_until(lambda: steps_saved(tmp_path / "o"))
    second = cryocloud(*order)
    assert second.returncode == 2
    assert "is working there" in second.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=150) == 130, process.stderr.read()


def test_unfinished_job_with_other_parameters_is_not_mixed(cryocloud, start, wait_until, tmp_path):
    out = tmp_path / "o"
    process = start(*SLOW)
    wait_until(lambda: steps_saved(out))
    process.send_signal(signal.SIGINT)
    process.wait(timeout=150)
    other = cryocloud("run", "counting", "--steps", 26, "--step-s", 0.1, "--out", "o")
    assert other.returncode == 2
    assert "unfinished counting with another steps (25, not 26)" in other.stderr
    redone = cryocloud("run", "counting", "--steps", 4, "--out", "o", "--overwrite")
    assert redone.returncode == 0
    assert (out / "sum.txt").read_text() == "4.0\n"


def test_changed_input_is_not_mixed_into_an_unfinished_job(cryocloud, tmp_path):
    (tmp_path / "in.txt").write_text("abc")
    command = ("run", "counting", "--steps", 3, "--input", "in.txt", "--mishap", "killed", "--out", "o")
    assert cryocloud(*command).returncode == 1
    (tmp_path / "in.txt").write_text("abcd")
    again = cryocloud(*command)
    assert again.returncode == 2
    assert "another input" in again.stderr


def test_refused_input_can_be_mended_in_place(cryocloud, tmp_path):
    assert cryocloud("run", "counting", "--steps", 3, "--mishap", "bad_input", "--out", "o").returncode == 2
    assert cryocloud("run", "counting", "--steps", 3, "--out", "o").returncode == 0


def test_late_runner_finds_the_claim_taken(cryocloud, environment, tmp_path):
    import subprocess
    import sys

    cryocloud("run", "counting", "--steps", 1, "--out", "o")
    late = subprocess.run(
        [sys.executable, "-m", "cryocloud.compute.runner", tmp_path / "o/.attempt"],
        env=environment, check=False, capture_output=True,
    )  # fmt: skip
    assert late.returncode == 75


def test_attempt_can_be_replayed_by_hand(cryocloud, environment, tmp_path):
    import subprocess
    import sys

    cryocloud("run", "counting", "--steps", 3, "--out", "o")
    attempt = tmp_path / "replay"
    attempt.mkdir()
    spec = read(tmp_path / "o/.attempt/spec.json") | {"out": str(tmp_path / "elsewhere")}
    (attempt / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "cryocloud.compute.runner", attempt]
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    assert (tmp_path / "elsewhere/sum.txt").read_text() == "3.0\n"
