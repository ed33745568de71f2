"""Picks that a person corrected or made: what stays, what goes, what is said of places that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import MicrographTables, ParticleTables, write_micrographs, write_particles

RunJob = Callable[..., Any]
PIXEL, HEIGHT, WIDTH = 2.0, 120, 160
OPTICS = {
    "rlnOpticsGroup": 1, "rlnOpticsGroupName": "one", "rlnVoltage": 300.0, "rlnSphericalAberration": 2.7,
    "rlnAmplitudeContrast": 0.1, "rlnMicrographPixelSize": PIXEL,
}  # fmt: skip
PICKS = [("mic_0.mrc", 40.0, 50.0, 0.9), ("mic_0.mrc", 80.0, 60.0, 0.4), ("mic_1.mrc", 70.0, 70.0, 0.6)]


@pytest.fixture
def micrographs(tmp_path: Path) -> Path:
    """Two micrographs of 160 x 120 px with CTF."""
    folder = tmp_path / "Ctf"
    for number in range(2):
        image = np.random.default_rng(number).normal(size=(HEIGHT, WIDTH)).astype(np.float32)
        write_mrc(folder / f"mic_{number}.mrc", image, PIXEL)
    rows = pd.DataFrame(
        {"rlnMicrographName": ["mic_0.mrc", "mic_1.mrc"], "rlnOpticsGroup": 1, "rlnDefocusU": [9000.0, 12000.0],
         "rlnDefocusV": [8900.0, 11900.0], "rlnDefocusAngle": 20.0}
    )  # fmt: skip
    write_micrographs(folder / "micrographs.star", MicrographTables(pd.DataFrame([OPTICS]), rows, folder))
    return folder / "micrographs.star"


@pytest.fixture
def picks(micrographs: Path) -> Path:
    columns = ["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit"]
    rows = pd.DataFrame(PICKS, columns=columns).assign(rlnOpticsGroup=1)
    write_particles(
        micrographs.parent / "picks.star",
        ParticleTables(pd.DataFrame([OPTICS]), rows, micrographs.parent),
    )
    return micrographs.parent / "picks.star"


@pytest.fixture
def edit(run_job: RunJob, micrographs: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(edits: Any = None, *, picks: Path | None = None, **parameters: Any) -> Any:
        inputs = {"micrographs": micrographs} | ({"picks": picks} if picks else {})
        if edits is not None:
            text = edits if isinstance(edits, str) else json.dumps({"micrographs": edits})
            (tmp_path / "edits.json").write_text(text)
            inputs["edits"] = tmp_path / "edits.json"
        given = {"particle_diameter_angstrom": 40.0, "plot_count": 0} | parameters
        return run_job("edit_picks", inputs, **given)

    return run


def picks_of(run: Any) -> list[tuple[str, float, float, int]]:
    rows = read_star(run.out / "picks.star")["particles"]
    names = [Path(name).name for name in rows["rlnMicrographName"]]
    columns = ("rlnCoordinateX", "rlnCoordinateY", "cryocloudPickedByHand")
    return list(zip(names, *(rows[label] for label in columns), strict=True))


def test_picks_are_erased_and_added_and_the_job_says_how_many(edit, picks, run_job):
    edits = {
        "mic_0.mrc": {"added": [[120.5, 30]], "erased": [[80.2, 59.9]]},
        "mic_1.mrc": {"added": [[20, 20]]},
    }
    run = edit(edits, picks=picks, plot_count=2)
    assert picks_of(run) == [
        ("mic_0.mrc", 40.0, 50.0, 0),
        ("mic_0.mrc", 120.5, 30.0, 1),
        ("mic_1.mrc", 70.0, 70.0, 0),
        ("mic_1.mrc", 20.0, 20.0, 1),
    ]
    told = run.metrics
    assert (told["picks_before"], told["added"], told["erased"], told["picks"]) == (3, 2, 1, 4)
    assert run.job.decisions[-1]["value"] == "2 added, 1 erased"
    rows = read_star(run.out / "picks.star")["particles"]
    assert rows["rlnDefocusU"].tolist() == [9000.0, 9000.0, 12000.0, 12000.0]
    assert rows["rlnAutopickFigureOfMerit"].tolist() == [0.9, 1.0, 0.6, 1.0]
    assert json.loads((run.out / "edits.json").read_text())["micrographs"]["mic_1.mrc"]["erased"] == []
    assert len(list(run.job.plots.iterdir())) == 2
    cut = run_job("extract", {"input": run.out / "picks.star"}, out="Extract", box_size_px=32)
    assert cut.metrics["particles"] == 4


def test_all_may_be_picked_by_hand(edit):
    run = edit({"mic_1.mrc": {"added": [[20, 20], [100, 90]]}})
    assert picks_of(run) == [("mic_1.mrc", 20.0, 20.0, 1), ("mic_1.mrc", 100.0, 90.0, 1)]
    assert (run.metrics["by_hand"], run.metrics["micrographs_without_picks"]) == (2, 1)


def test_a_score_leaves_out_the_worse_picks_but_none_made_by_hand(edit, picks):
    run = edit({"mic_0.mrc": {"added": [[120, 30]]}}, picks=picks, score_min=0.5)
    assert [(x, hand) for _, x, _, hand in picks_of(run)] == [(40.0, 0), (120.0, 1), (70.0, 0)]
    assert run.metrics["below_score"] == 1
    again = edit(None, picks=run.out / "picks.star", score_min=0.8)
    assert [x for _, x, _, _ in picks_of(again)] == [40.0, 120.0]


def test_places_outside_doubles_and_unknown_micrographs_are_left_out_and_told(edit, picks):
    run = edit(
        {
            "mic_0.mrc": {"added": [[500, 30], [100, 100], [100.5, 100], [40.5, 50]], "erased": [[5, 5]]},
            "gone.mrc": {"added": [[1, 1]]},
        },
        picks=picks,
    )
    assert [(x, y) for _, x, y, hand in picks_of(run) if hand] == [(100.0, 100.0)]
    assert (run.metrics["outside_image"], run.metrics["duplicates"], run.metrics["erased"]) == (1, 2, 0)
    assert "1 added picks lie outside" in run.job.warnings[0]
    assert "no micrograph of the list has this name; its 1 edits" in run.exceptions["gone.mrc"]


def test_thousands_of_picks_take_no_time(edit):
    places = [[round(2 + (n % 150), 2), round(2 + n // 150 * 1.1, 2)] for n in range(9000)]
    run = edit({"mic_0.mrc": {"added": places}}, particle_diameter_angstrom=21.0)
    assert 500 < run.metrics["picks"] < 9000
    assert run.metrics["picks"] + run.metrics["duplicates"] == 9000


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (
            '{"micrographs": {"mic_0.mrc": {"added": [[NaN, 3]]}}}',
            "mic_0.mrc added 0 0 nan: must be a finite number",
        ),
        ('{"micrographs": {"mic_0.mrc": {"added": [[-4, 3]]}}}', "greater than or equal to -0.5"),
        ('{"solids": []}', "“solids” is nothing that edits"),
        ("no json", "no JSON"),
    ],
)
def test_edits_that_cannot_be_are_refused_with_a_reason(edit, edits, words):
    with pytest.raises(InputError, match=words):
        edit(edits)


def test_without_any_pick_the_job_says_what_to_give(edit, picks):
    with pytest.raises(InputError, match="there are no picks"):
        edit(None)
    with pytest.raises(InputError, match="none of 3 picks is left: 3 lie below"):
        edit(None, picks=picks, score_min=2.0)
