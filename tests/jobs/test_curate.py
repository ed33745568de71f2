from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.tables import MicrographTables, read_micrographs, write_micrographs

RunJob = Callable[..., Any]
COUNT = 20


@pytest.fixture
def evidence() -> pd.DataFrame:
    """A good session."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "rlnMicrographName": [f"m{number:02d}.mrc" for number in range(COUNT)],
            "rlnOpticsGroup": 1,
            "rlnDefocusU": rng.uniform(8000, 22000, COUNT),
            "rlnCtfAstigmatism": rng.uniform(50, 400, COUNT),
            "rlnCtfMaxResolution": rng.uniform(3.2, 4.5, COUNT),
            "rlnCtfFigureOfMerit": rng.uniform(0.2, 0.3, COUNT),
            "rlnCtfIceRingDensity": rng.uniform(-0.02, 0.05, COUNT),
            "cryocloudWeakestDirectionSignal": rng.uniform(0.4, 0.95, COUNT),
            "cryocloudIntensityMean": rng.uniform(95, 105, COUNT),
            "cryocloudIntensityDeviation": 20.0,
        }
    )


def write_list(folder: Path, evidence: pd.DataFrame) -> Path:
    optics = pd.DataFrame({"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.5]})
    write_micrographs(folder / "micrographs.star", MicrographTables(optics, evidence, folder))
    return folder / "micrographs.star"


def reasons(out: Path) -> dict[str, str]:
    with (out / "rejected.csv").open(newline="") as table:
        return {row["micrograph"]: row["reasons"] for row in csv.DictReader(table)}


def test_a_good_session_is_kept_whole(run_job: RunJob, tmp_path: Path, evidence: pd.DataFrame) -> None:
    done = run_job("curate", {"input": write_list(tmp_path, evidence)})
    assert len(read_micrographs(done.out / "micrographs.star")) == COUNT
    assert len(read_micrographs(done.out / "rejected.star")) == 0
    assert reasons(done.out) == {}
    assert (done.job.plots / "curation.png").exists()
    assert {decision["what"] for decision in done.job.decisions} >= {"limit of weakest direction signal"}


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [
        ("cryocloudWeakestDirectionSignal", 0.02, "drifted"),
        ("rlnCtfMaxResolution", 15.0, "rings end too early"),
        ("rlnCtfFigureOfMerit", 0.02, "rings are too faint"),
        ("rlnDefocusU", 95000.0, "far above"),
        ("rlnCtfAstigmatism", 5000.0, "astigmatism"),
        ("rlnCtfIceRingDensity", 0.8, "crystalline"),
        ("cryocloudIntensityMean", 30.0, "darker"),
    ],
)
def test_each_fault_is_rejected_with_its_reason(
    run_job: RunJob, tmp_path: Path, evidence: pd.DataFrame, label: str, value: float, words: str
) -> None:
    evidence.loc[7, label] = value
    done = run_job("curate", {"input": write_list(tmp_path, evidence)})
    found = reasons(done.out)
    assert {Path(name).name for name in found} == {"m07.mrc"}
    assert words in next(iter(found.values()))
    assert done.metrics["rejected"] == 1 and not done.exceptions


def test_given_limits_replace_the_automatic_ones(
    run_job: RunJob, tmp_path: Path, evidence: pd.DataFrame
) -> None:
    evidence["rlnCtfMaxResolution"] = np.linspace(3, 6, COUNT)
    path = write_list(tmp_path, evidence)
    strict = run_job("curate", {"input": path}, out="strict", fit_resolution_max_angstrom=4.0)
    expected = int((evidence["rlnCtfMaxResolution"] <= 4.0).sum())
    assert len(read_micrographs(strict.out / "micrographs.star")) == expected
    evidence.loc[3, "cryocloudWeakestDirectionSignal"] = 0.0
    path = write_list(tmp_path, evidence)
    only_given = run_job("curate", {"input": path}, out="given", limits="given", defocus_max_angstrom=1e6)
    assert len(read_micrographs(only_given.out / "micrographs.star")) == COUNT


def test_nothing_left_is_an_error_that_says_where_the_reasons_are(
    run_job: RunJob, tmp_path: Path, evidence: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match=r"all 20 micrographs were rejected.*rejected.csv"):
        run_job("curate", {"input": write_list(tmp_path, evidence)}, fit_resolution_max_angstrom=1.0)
    assert len(reasons(tmp_path / "out")) == COUNT


def test_a_list_without_evidence_is_refused(run_job: RunJob, tmp_path: Path, evidence: pd.DataFrame) -> None:
    path = write_list(tmp_path, evidence[["rlnMicrographName", "rlnOpticsGroup"]])
    with pytest.raises(InputError, match="cryocloud run ctf"):
        run_job("curate", {"input": path})


def test_a_limit_needs_its_column(run_job: RunJob, tmp_path: Path, evidence: pd.DataFrame) -> None:
    path = write_list(tmp_path, evidence.drop(columns="rlnCtfIceRingDensity"))
    with pytest.raises(InputError, match="_rlnCtfIceRingDensity"):
        run_job("curate", {"input": path}, ice_ring_max=0.1)
    assert run_job("curate", {"input": path}, out="other").metrics["accepted"] == COUNT


@pytest.mark.slow
def test_the_drifting_micrograph_of_a_real_session_is_rejected(run_job: RunJob, data_dir: Path) -> None:
    source = data_dir / "apoferritin_10146" / "micrographs.star"
    fitted = run_job("ctf", {"input": source}, out="ctf", plot_count=0)
    table = read_micrographs(fitted.out / "micrographs.star").micrographs
    curated = run_job("curate", {"input": fitted.out / "micrographs.star"}, out="curate")
    found = reasons(curated.out)
    assert {Path(name).name for name in found} == {"May08_06.09.02.mrc"}
    assert "drifted" in next(iter(found.values()))
    good = table[~table["rlnMicrographName"].str.contains("06.09.02")]
    mean = (good["rlnDefocusU"] + good["rlnDefocusV"]) / 2
    assert len(good) == 19 and mean.between(14500, 25500).all()
    # Where the astigmatism is large enough to have an axis, it is near -55 degrees.
    axis = good.loc[good["rlnCtfAstigmatism"] > 250, "rlnDefocusAngle"]
    assert len(axis) > 12 and (axis - 125).abs().max() < 15


def test_a_person_accepts_and_rejects_whatever_the_limits_say(
    run_job: RunJob, tmp_path: Path, evidence: pd.DataFrame
) -> None:
    evidence.loc[3, "rlnCtfMaxResolution"] = 15.0
    evidence.loc[4, "rlnCtfMaxResolution"] = 15.0
    (tmp_path / "edits.json").write_text('{"accepted": ["m03.mrc"], "rejected": ["m07.mrc", "gone.mrc"]}')
    inputs = {"input": write_list(tmp_path, evidence), "edits": tmp_path / "edits.json"}
    done = run_job("curate", inputs)
    assert {Path(name).name for name in reasons(done.out)} == {"m04.mrc", "m07.mrc"}
    assert next(text for name, text in reasons(done.out).items() if "m07" in name) == "rejected by hand"
    assert (done.metrics["accepted_by_hand"], done.metrics["rejected_by_hand"]) == (1, 1)
    assert "no micrograph of the list has this name" in done.exceptions["gone.mrc"]
