"""What a job body can say, and where it ends up."""

import csv
import json

import pytest

from cryocloud.compute.attempt import Attempt, AttemptSpec, ProcessIdentity
from cryocloud.compute.context import JobCancelled, JobContext
from cryocloud.compute.inputs import checksum_inputs, input_files


@pytest.fixture
def attempt(tmp_path):
    folder = tmp_path / "attempt"
    folder.mkdir()
    return Attempt(folder)


@pytest.fixture
def context(attempt, tmp_path):
    def make(**changes):
        (tmp_path / "out").mkdir(exist_ok=True)
        given = {"inputs": {"input": "/a.star"}, "out": str(tmp_path / "out")} | changes
        spec = AttemptSpec("id", "counting", 1, {}, **given)
        return JobContext(attempt, spec, None, "cpu")

    return make


def events(attempt):
    return [json.loads(line) for line in attempt.events_file.read_text().splitlines()]


def test_progress_is_thinned_out_but_the_end_is_told(attempt, context):
    job = context()
    for step in range(100):
        job.progress(step / 100)
    job.progress(1.0, "done")
    fractions = [event["fraction"] for event in events(attempt)]
    assert fractions[0] == 0
    assert fractions[-1] == 1
    # One report in 0.2 s at most; a hundred calls take less than 2 s.
    assert len(fractions) < 12


def test_wish_to_stop_is_heard_at_the_next_progress(attempt, context):
    job = context()
    job.progress(0.1)
    attempt.request_cancel()
    with pytest.raises(JobCancelled):
        job.progress(0.2)


def test_quarantined_items_are_a_table_that_any_reader_understands(tmp_path, context):
    job = context()
    job.quarantine("a, b.mrc", 'said "no"\nand more')
    with (tmp_path / "out/exceptions.csv").open(newline="") as table:
        assert list(csv.DictReader(table)) == [{"item": "a, b.mrc", "reason": 'said "no"\nand more'}]


def test_metrics_merge_and_survive_a_resumed_attempt(tmp_path, context):
    job = context()
    job.metrics(a=1.5, b=True)
    job.metrics(a=2, c=float("inf"))
    context(resumed=True).metrics(d=4)
    stored = json.loads((tmp_path / "out/metrics.json").read_text())
    assert stored == {"a": 2, "b": 1, "c": None, "d": 4}


def test_fresh_attempt_starts_with_no_metrics(tmp_path, context):
    context().metrics(a=1)
    context().metrics(b=2)
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == {"b": 2}


def test_claim_is_taken_once(attempt):
    assert attempt.take_claim()
    assert not attempt.take_claim()


def test_process_is_told_from_a_later_one_with_its_number():
    own = ProcessIdentity.own()
    assert own.is_here()
    assert own.is_alive()
    later = ProcessIdentity(own.pid, own.start_ticks + 1, own.boot_id, own.host)
    assert not later.is_alive()
    assert not ProcessIdentity(own.pid, own.start_ticks, "other-boot", own.host).is_here()


def test_inputs_stand_for_files(tmp_path):
    for name in ("b.mrc", "a.mrc", "c.star", ".hidden"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub").mkdir()
    assert [path.name for path in input_files(str(tmp_path / "*.mrc"))] == ["a.mrc", "b.mrc"]
    assert [path.name for path in input_files(str(tmp_path))] == ["a.mrc", "b.mrc", "c.star"]
    assert [path.name for path in input_files(str(tmp_path / "c.star"))] == ["c.star"]
    assert input_files("procedural") == []
    assert [f["bytes"] for f in checksum_inputs({"x": str(tmp_path / "*.mrc")})["x"]["files"]] == [5, 5]


def test_checksums_tell_nothing_of_files_that_links_lead_to(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "m.mrc").write_text("pixels")
    (own / "out.mrc").symlink_to(other / "m.mrc")
    (own / "in.mrc").symlink_to("m.mrc")
    found = checksum_inputs({"x": str(own), "y": str(own / "out.mrc")}, [str(own)])
    assert [file["path"] for file in found["x"]["files"]] == ["in.mrc", "m.mrc"]
    assert found["y"]["files"] == []
    assert len(checksum_inputs({"x": str(own)})["x"]["files"]) == 3


@pytest.fixture
def named(context, tmp_path):
    """A job on a platform, with folders as deep as there, that reads a dataset and the result of a job."""
    home = tmp_path.resolve()
    (home / "attempts/a1/out").mkdir(parents=True)
    names = {
        str(home / "attempts/a1/inputs"): "",
        str(home / "attempts/a1/inputs/input"): "Grid 7, day one",
        str(home / "datasets/d1/files"): "Grid 7, day one",
        str(home / "results/j4/a9"): "job 4",
    }
    return context(readable=list(names), names=names, out=str(home / "attempts/a1/out"))


def test_on_a_platform_what_is_set_aside_has_the_name_that_people_gave_it(named, tmp_path):
    data = tmp_path / "datasets/d1/files"
    named.quarantine(f"{data}/sub/m.mrc", f"{data}/sub/m.mrc: damaged, copy {named.out}/log.txt")
    said = {"Grid 7, day one/sub/m.mrc": "Grid 7, day one/sub/m.mrc: damaged, copy log.txt"}
    assert named.exceptions == said
    assert str(tmp_path) not in (named.out / "exceptions.csv").read_text()
    named.quarantine("/data/krios/m.mrc", "is lost; import it with --pixel-size-angstrom 2")
    assert named.exceptions["/data/krios/m.mrc"] == "is lost; import it with “Pixel size” 2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{home}/results/j4/a9: no such folder", "job 4: no such folder"),
        ("{home}/results/j4/a9/particles.star, row 3", "job 4/particles.star, row 3"),
        ("../../../datasets/d1/files/sub/m.mrc is lost", "Grid 7, day one/sub/m.mrc is lost"),
        ("7@../../../results/j4/a9/particles.mrcs (again)", "7@job 4/particles.mrcs (again)"),
        ("{home}/results/j4/a9/../../../datasets/d1/files/m.mrc", "Grid 7, day one/m.mrc"),
        ("{home}/attempts/a1/inputs/input/day\u2215a b.mrc, n\u2215c.mrc", "Grid 7, day one/day/a b.mrc, n/c.mrc"),
        ("{home}/attempts/a1/out is full", "the result folder is full"),
        ("{home}/attempts/a1/spec.json, /usr/lib/python3.11/json.py, /tmp/x", "spec.json, json.py, x"),
        ("{home}/results/j44/a9/m.mrc", "m.mrc"),
        ("12 e/px/s at 1 / 2", "12 e/px/s at 1 / 2"),
    ],
)  # fmt: skip
def test_on_a_platform_nothing_that_a_job_says_names_a_place_of_the_server(
    named, attempt, tmp_path, capsys, text, shown
):
    text = text.replace("{home}", str(tmp_path.resolve()))
    named.log(text)
    named.warning(text)
    named.decision("choice", [text], text)
    named.progress(0.5, text)
    assert named.warnings == [shown]
    assert named.decisions == [{"what": "choice", "value": [shown], "why": shown}]
    assert events(attempt)[-1]["message"] == shown
    assert [line[9:] for line in capsys.readouterr().out.splitlines()] == [shown, f"WARNING: {shown}"]


def test_on_the_command_line_paths_are_what_people_know(context, tmp_path):
    job = context()
    job.warning(f"{tmp_path}/a.mrc is dark")
    assert job.warnings == [f"{tmp_path}/a.mrc is dark"]
