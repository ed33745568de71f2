"""The driver of workflows: decisions, report, resume, exit codes."""

import json
import os
import signal
from pathlib import Path

import pytest


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "in.txt").write_text("abc")
    return tmp_path / "P"


def tally(*options) -> tuple:
    return ("workflow", "run", "tally", "--input", "in.txt", "--out", "P", *options)


def test_steps_run_in_numbered_folders_and_decisions_are_kept(cryocloud, project):
    ended = cryocloud(*tally())
    assert ended.returncode == 0, ended.stderr
    assert (project / "002_counting/sum.txt").read_text() == "3.0\n"
    record = read(project / "decisions.json")
    assert record["finished"]
    assert record["key_numbers"] == {"sum": 3}
    assert record["decisions"][0]["job"] == "001_counting"
    assert record["decisions"][1] == {
        "job": "002_counting",
        "what": "second count",
        "value": 3,
        "why": "one more than the first sum",
        "evidence": {"sum": 2},
    }


def test_report_is_self_contained_and_starts_with_the_warning(cryocloud, project):
    ended = cryocloud(*tally())
    page = (project / "report.html").read_text()
    assert read(project / "decisions.json")["marks"] == {}
    assert "WARNING: counts are <not> to be trusted" in ended.stderr
    assert "counts are &lt;not&gt; to be trusted" in page
    assert page.index("not to be trusted".replace("not", "&lt;not&gt;")) < page.index("second count")
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "one more than the first sum" in page


def test_warnings_of_a_job_stand_first_too(cryocloud, project):
    ended = cryocloud(*tally("--mishap", "doubt"))
    assert ended.returncode == 0, ended.stderr
    said = f"{project / '002_counting/sum.txt'} may be <wrong>"
    assert f"002_counting: WARNING: {said}" in ended.stderr
    assert f"WARNING: {said}" in (project / "002_counting/log.txt").read_text()
    assert read(project / "002_counting/job.json")["warnings"] == [said]
    assert read(project / "decisions.json")["warnings"][0] == f"Counting: {said}"
    page = (project / "report.html").read_text()
    assert page.index("may be &lt;wrong&gt;") < page.index("second count")


def test_killed_workflow_keeps_its_finished_jobs(cryocloud, start, wait_until, project):
    process = start(*tally("--step-s", 0.3, "--steps", 5))
    wait_until((project / "002_counting/.checkpoint/checkpoint.npz").exists)
    first = (project / "001_counting/job.json").stat().st_mtime_ns
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=150)
    assert not read(project / "decisions.json")["finished"]
    assert "Not finished" in (project / "report.html").read_text()
    again = cryocloud(*tally("--step-s", 0.3, "--steps", 5))
    assert again.returncode == 0, again.stderr
    assert (project / "001_counting/job.json").stat().st_mtime_ns == first
    assert "going on from step" in (project / "002_counting/log.txt").read_text()
    assert len(read(project / "decisions.json")["decisions"]) == 3, "none twice"


def test_finished_workflow_answers_again_without_work(cryocloud, project):
    cryocloud(*tally())
    stamp = (project / "002_counting/job.json").stat().st_mtime_ns
    assert cryocloud(*tally()).returncode == 0
    assert (project / "002_counting/job.json").stat().st_mtime_ns == stamp


def test_other_parameters_in_the_same_folder_are_refused(cryocloud, project):
    cryocloud(*tally())
    other = cryocloud(*tally("--steps", 3))
    assert other.returncode == 2
    assert "other parameters" in other.stderr
    assert cryocloud(*tally("--steps", 3, "--overwrite")).returncode == 0


@pytest.mark.parametrize(
    ("mishap", "code"), [("bad_items", 3), pytest.param("bad_input", 2, marks=pytest.mark.slow), ("bug", 1)]
)
def test_exit_code_is_that_of_the_jobs(cryocloud, project, mishap, code):
    assert cryocloud(*tally("--mishap", mishap)).returncode == code
    page = (project / "report.html").read_text()
    assert ("a.mrc" in page) == (mishap == "bad_items")


def test_workflow_ends_where_a_result_is_not_to_be_trusted(cryocloud, project):
    doubtful = tally("--doubt", "the first count is a <guess>.")
    ended = cryocloud(*doubtful)
    assert ended.returncode == 4, ended.stderr
    assert "the first count is a <guess>. The workflow ends here" in ended.stderr
    assert "--accept-untrusted" in ended.stderr
    assert (project / "001_counting/job.json").exists()
    assert not (project / "002_counting").exists()
    record = read(project / "decisions.json")
    assert not record["finished"]
    assert record["warnings"] == ["the first count is a <guess>."]
    assert "the first count is a &lt;guess&gt;." in (project / "report.html").read_text()
    first = (project / "001_counting/job.json").stat().st_mtime_ns
    accepted = cryocloud(*doubtful, "--accept-untrusted")
    assert accepted.returncode == 0, accepted.stderr
    assert (project / "001_counting/job.json").stat().st_mtime_ns == first
    record = read(project / "decisions.json")
    assert record["finished"]
    assert record["marks"] == {"002_counting": "not to be trusted"}
    assert "<strong>not to be trusted</strong>" in (project / "report.html").read_text()
    assert cryocloud(*doubtful).returncode == 0, "what is finished is only read"


def test_interrupted_workflow_says_cancelled(start, wait_until, project):
    process = start(*tally("--step-s", 0.3, "--steps", 5))
    wait_until((project / "002_counting/.checkpoint/checkpoint.npz").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=150) == 130
