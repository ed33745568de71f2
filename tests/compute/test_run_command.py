"""The promises of ``cryocloud run``: folder, records, exit codes, messages."""

import csv
import hashlib
import json
from pathlib import Path

import pytest


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_finished_job_leaves_its_records(cryocloud, tmp_path):
    (tmp_path / "in.txt").write_text("abc")
    ended = cryocloud(
        "run", "counting", "--steps", 3, "--input", "in.txt", "--seed", 7, "--limit", 2, "--out", "o"
    )
    assert ended.returncode == 0, ended.stderr
    job = read(tmp_path / "o/job.json")
    assert job["type"] == "counting"
    assert job["version"] == 1
    assert job["state"] == "done"
    assert job["parameters"]["steps"] == 3
    assert job["parameters"]["step_s"] == 0.0, "defaults are recorded too"
    assert job["seed"] == 7
    assert job["device"] == "cpu"
    assert job["inputs"]["input"]["files"][0]["sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert job["decisions"] == [{"what": "limit", "value": 2.0, "why": "asked for"}]
    assert job["wall_s"] > 0
    assert job["cpu_s"] > 0
    # A Python process with numpy needs at least 10 MB; kilobytes taken for bytes would be below.
    assert job["peak_memory_bytes"] > 10e6
    assert read(tmp_path / "o/metrics.json") == {"sum": 2, "steps": 3, "nothing": None}
    assert (tmp_path / "o/exceptions.csv").read_text() == "item,reason\n"
    assert "counting 1" in (tmp_path / "o/log.txt").read_text()
    assert not (tmp_path / "o/.checkpoint").exists()


def test_attempt_directory_follows_the_protocol(cryocloud, tmp_path):
    cryocloud("run", "counting", "--steps", 1, "--out", "o")
    attempt = tmp_path / "o/.attempt"
    assert {"spec.json", "claim", "started.json", "hb.json", "handover", "exit.json"} <= {
        path.name for path in attempt.iterdir()
    }
    assert set(read(attempt / "started.json")) == {"pid", "start_ticks", "boot_id", "host"}
    assert read(attempt / "exit.json")["code"] == 0


@pytest.mark.parametrize(
    ("mishap", "code", "words"),
    [
        ("bad_input", 2, "pixel size 0: give --pixel-size-angstrom"),
        ("bug", 1, "KeyError"),
        ("memory", 1, "not enough memory"),
        ("disk_full", 1, "disk full while writing"),
        ("segfault", 1, "SIGSEGV"),
        ("killed", 1, "memory ran out"),
    ],
)
def test_each_mishap_is_one_plain_line_and_a_code(cryocloud, tmp_path, mishap, code, words):
    ended = cryocloud("run", "counting", "--steps", 3, "--mishap", mishap, "--mishap-step", 1, "--out", "o")
    assert ended.returncode == code
    assert words in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "o/job.json").exists()
    if mishap == "bug":
        assert "Traceback" in (tmp_path / "o/log.txt").read_text()


def test_bad_items_are_set_aside(cryocloud, tmp_path):
    ended = cryocloud("run", "counting", "--steps", 3, "--mishap", "bad_items", "--out", "o")
    assert ended.returncode == 3
    with (tmp_path / "o/exceptions.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert rows == [
        {"item": "a.mrc", "reason": "NaN pixels"},
        {"item": "b.mrc", "reason": "truncated, 3 bytes"},
    ]
    assert read(tmp_path / "o/job.json")["state"] == "completed with exceptions"
    assert (tmp_path / "o/sum.txt").exists()


def test_folder_with_a_finished_job_is_refused(cryocloud, tmp_path):
    cryocloud("run", "counting", "--steps", 2, "--out", "o")
    again = cryocloud("run", "counting", "--steps", 3, "--out", "o")
    assert again.returncode == 2
    assert "holds a finished job" in again.stderr
    assert (tmp_path / "o/sum.txt").read_text() == "2.0\n"
    redone = cryocloud("run", "counting", "--steps", 3, "--out", "o", "--overwrite")
    assert redone.returncode == 0
    assert (tmp_path / "o/sum.txt").read_text() == "3.0\n"


def test_results_of_another_origin_are_not_overwritten(cryocloud, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/sum.txt").write_text("mine")
    for extra in ([], ["--overwrite"]):
        ended = cryocloud("run", "counting", "--steps", 2, "--out", "o", *extra)
        assert ended.returncode == 2
        assert "sum.txt" in ended.stderr
        assert (tmp_path / "o/sum.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "0"], "--steps '0': must be greater than or equal to 1"),
        ([], "--steps is required"),
        (["--steps", "1", "--mishap", "flood"], "--mishap 'flood': must be 'none'"),
        (["--steps", "1", "--weights", "1,x"], "--weights 'x': must be a valid number"),
        (["--steps", "1", "--input", "gone.star"], "--input gone.star: no such file or folder"),
        (["--steps", "1", "--input", "mics/*.mrc"], "--input 'mics/*.mrc': no file matches"),
        (["--steps", "1", "--threads", "0"], "must be at least 1"),
        (["--steps", "1", "--device", "abacus"], "abacus"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(cryocloud, tmp_path, arguments, words):
    ended = cryocloud("run", "counting", *arguments, "--out", "o")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert not (tmp_path / "o").exists()


def test_output_that_is_a_file_is_refused(cryocloud, tmp_path):
    (tmp_path / "o").write_text("x")
    ended = cryocloud("run", "counting", "--steps", 1, "--out", "o")
    assert ended.returncode == 2
    assert "is a file" in ended.stderr


def test_unknown_job_type_lists_close_matches(cryocloud):
    ended = cryocloud("run", "countin", "--out", "o")
    assert ended.returncode == 2
    assert "unknown job type 'countin'; did you mean counting?" in ended.stderr


def test_json_progress_is_one_object_a_line(cryocloud):
    ended = cryocloud("run", "counting", "--steps", 2, "--out", "o", "--progress", "json")
    events = [json.loads(line) for line in ended.stderr.splitlines()]
    assert events[0]["event"] == "progress"
    assert events[-1]["event"] == "end"
    assert events[-1]["code"] == 0


def test_parameters_of_every_kind_reach_the_job(cryocloud, tmp_path):
    cryocloud(
        "run", "counting", "--steps", 2, "--weights", 1, "2.5", "--limit", "none", "--verbose", "--out", "o"
    )
    assert (tmp_path / "o/sum.txt").read_text() == "7.0\n"
    assert "step 1" in (tmp_path / "o/log.txt").read_text()


def test_literal_word_stands_for_no_file(cryocloud, tmp_path):
    assert cryocloud("run", "counting", "--steps", 1, "--input", "nothing", "--out", "o").returncode == 0
    assert read(tmp_path / "o/job.json")["inputs"]["input"] == {"path": "nothing", "files": []}
