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
        spec = AttemptSpec("id", "counting", 1, {}, {"input": "/a.star"}, str(tmp_path / "out"), **changes)
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


def test_on_a_platform_what_is_set_aside_is_named_without_the_folders_of_the_server(context, tmp_path):
    data = tmp_path / "datasets" / "d" / "files"
    job = context(readable=[str(tmp_path / "datasets"), str(data)])
    job.quarantine(f"{data}/sub/m.mrc", f"{data}/sub/m.mrc: damaged, copy {tmp_path}/out/log.txt")
    assert job.exceptions == {"sub/m.mrc": "sub/m.mrc: damaged, copy log.txt"}
    assert str(tmp_path) not in (job.out / "exceptions.csv").read_text()
