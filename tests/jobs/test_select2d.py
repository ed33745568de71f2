"""The selection job, on the files of a classification written by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import read_star, write_star
from cryocloud.engine.io.tables import ParticleTables, read_particles, write_particles

SCORES = (0.9, 0.8, 0.1, 0.6)
COUNTS = (40, 30, 20, 5)


@pytest.fixture
def classified(tmp_path: Path) -> Path:
    """particles.star of four classes: two good ones, a bad one and a tiny one."""
    folder = tmp_path / "Class2D"
    folder.mkdir()
    numbers = np.repeat([1, 2, 3, 4], COUNTS)
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImagePixelSize": [4.0],
            "rlnImageSize": [16],
            "rlnImageDimensionality": [2],
        }
    )
    rows = pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@particles.mrcs" for i in range(len(numbers))],
            "rlnOpticsGroup": 1,
            "rlnDefocusU": 10000.0,
            "rlnDefocusV": 10000.0,
            "rlnDefocusAngle": 0.0,
            "rlnClassNumber": numbers,
            "keepMe": np.arange(len(numbers)),
        }
    )
    write_particles(folder / "particles.star", ParticleTables(optics, rows, folder))
    one = np.ones(4)
    table = pd.DataFrame(
        {
            "rlnReferenceImage": [f"{k:06d}@classes.mrcs" for k in range(1, 5)],
            "rlnClassNumber": [1, 2, 3, 4],
            "rlnEstimatedResolution": [10.0, 11.0, 30.0, 12.0],
            "cryocloudClassParticles": COUNTS,
            "cryocloudClassMatch": 10 * one,
            "cryocloudClassCenterDensity": one,
            "cryocloudClassEdgeRatio": 0.02 * one,
            "cryocloudMatchScore": one,
            "cryocloudResolutionScore": SCORES,
            "cryocloudCenterScore": one,
            "cryocloudEdgeScore": one,
        }
    )
    write_star(folder / "classes.star", {"model_classes": table})
    averages = np.random.default_rng(0).normal(size=(4, 16, 16)).astype(np.float32)
    write_mrc(folder / "classes.mrcs", averages, 4.0, stack=True)
    return folder / "particles.star"


def _kept_classes(out: Path) -> set[int]:
    return set(read_particles(out / "particles.star").particles["rlnClassNumber"])


def test_good_classes_are_kept_with_all_columns(run_job: Callable[..., Any], classified: Path) -> None:
    result = run_job("select2d", {"input": classified})
    kept = read_particles(result.out / "particles.star").particles
    excluded = read_particles(result.out / "excluded.star").particles
    assert set(kept["rlnClassNumber"]) == {1, 2}
    assert sorted([*kept["keepMe"], *excluded["keepMe"]]) == list(range(95))
    assert result.metrics["particles"] == 70
    assert result.metrics["excluded"] == 25
    assert (result.out / "plots" / "classes.png").stat().st_size > 2000


def test_each_class_has_its_reason(run_job: Callable[..., Any], classified: Path) -> None:
    result = run_job("select2d", {"input": classified})
    with (result.out / "selection.csv").open(newline="") as table:
        reasons = {int(row["class"]): (row["kept"], row["reason"]) for row in csv.DictReader(table)}
    assert reasons[1] == ("yes", "score 0.90")
    assert reasons[3][0] == "no"
    assert "halves agree only to 30.0 Å" in reasons[3][1]
    assert reasons[4] == ("no", "5 particles, fewer than 10")


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"min_score": 0.85}, {1}),
        ({"min_particles": 5}, {1, 2, 4}),
        ({"min_particles": 35}, {1}),
        ({"include": (3,), "exclude": (1, 2)}, {3}),
    ],
)
def test_options_change_the_choice(
    run_job: Callable[..., Any], classified: Path, options: dict[str, Any], kept: set[int]
) -> None:
    assert _kept_classes(run_job("select2d", {"input": classified}, **options).out) == kept


def test_nothing_good_is_an_error_that_names_the_best(run_job: Callable[..., Any], classified: Path) -> None:
    with pytest.raises(InputError, match=r"no class was good enough; the best, class 1: .*--min-score"):
        run_job("select2d", {"input": classified}, min_score=0.95)


def test_files_of_no_classification_are_refused(run_job: Callable[..., Any], classified: Path) -> None:
    table = read_star(classified.with_name("classes.star"))["model_classes"]
    write_star(
        classified.with_name("classes.star"), {"model_classes": table.drop(columns="cryocloudClassMatch")}
    )
    with pytest.raises(InputError, match=r"no column _cryocloudClassMatch.*class2d"):
        run_job("select2d", {"input": classified})
    classified.with_name("classes.star").unlink()
    with pytest.raises(InputError, match=r"classes\.star does not exist"):
        run_job("select2d", {"input": classified})


def test_class_numbers_of_another_job_are_refused(run_job: Callable[..., Any], classified: Path) -> None:
    table = read_star(classified.with_name("classes.star"))["model_classes"]
    write_star(classified.with_name("classes.star"), {"model_classes": table.iloc[:3]})
    with pytest.raises(InputError, match=r"class numbers 1 to 4, but classes\.star lists 3 classes"):
        run_job("select2d", {"input": classified})
