from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import MicrographTables, write_micrographs

RunJob = Callable[..., Any]
PIXEL_ANGSTROM, DIAMETER_ANGSTROM = 4.0, 120.0


def discs(centers: np.ndarray, edge_px: int = 320, seed: int = 0) -> np.ndarray:
    """Dark discs of the diameter in noise; an image of other gray values with each seed."""
    y, x = np.mgrid[:edge_px, :edge_px]
    image = np.random.default_rng(seed).normal(size=(edge_px, edge_px))
    for center in centers:
        image -= 1.0 * (np.hypot(x - center[0], y - center[1]) < DIAMETER_ANGSTROM / 2 / PIXEL_ANGSTROM)
    return (200 + 10 * image).astype(np.float32)


def centers(seed: int, count: int = 16) -> np.ndarray:
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2)
    jitter = np.random.default_rng(seed).uniform(-12, 12, (16, 2))
    return (60 + 65 * grid + jitter)[:count]


@pytest.fixture
def micrographs(tmp_path: Path) -> Path:
    folder = tmp_path / "ctf"
    folder.mkdir()
    for number in range(3):
        write_mrc(folder / f"m{number}.mrc", discs(centers(number), seed=number), PIXEL_ANGSTROM)
    write_mrc(folder / "empty.mrc", discs(centers(0, count=0), seed=9), PIXEL_ANGSTROM)
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1], "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1], "rlnMicrographPixelSize": [PIXEL_ANGSTROM],
        }
    )  # fmt: skip
    table = pd.DataFrame(
        {"rlnMicrographName": ["m0.mrc", "m1.mrc", "m2.mrc", "empty.mrc"], "rlnOpticsGroup": 1}
    )
    # Far from focus a disc of this size is a disc; the first CTF zero lies at 15 Angstrom.
    table = table.assign(
        rlnDefocusU=12000.0, rlnDefocusV=12000.0, rlnDefocusAngle=0.0, rlnCtfMaxResolution=5.0
    )
    write_micrographs(folder / "micrographs.star", MicrographTables(optics, table, folder))
    return folder / "micrographs.star"


def check_picks(out: Path) -> None:
    picks = read_star(out / "picks.star")["particles"]
    for number in range(3):
        found = picks[picks["rlnMicrographName"].str.endswith(f"m{number}.mrc")]
        xy_px = found[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()
        distance = np.linalg.norm(xy_px[:, None] - centers(number)[None], axis=2)
        assert (distance.min(0) < 4).sum() >= 15
        assert (distance.min(1) < 4).mean() > 0.85
    assert picks["rlnMicrographName"].str.endswith("empty.mrc").sum() <= 1
    assert (picks["rlnDefocusU"] == 12000).all() and (picks["rlnOpticsGroup"] == 1).all()
    assert picks["rlnAutopickFigureOfMerit"].between(0, 1).all()


def test_picks_carry_coordinates_scores_and_ctf(run_job: RunJob, micrographs: Path) -> None:
    done = run_job("pick", {"input": micrographs}, particle_diameter_angstrom=DIAMETER_ANGSTROM, plot_count=2)
    check_picks(done.out)
    assert done.metrics["micrographs"] == 4 and not done.exceptions
    assert {path.name for path in done.job.plots.iterdir()} == {"picks_m0.png", "picks_m1.png", "scores.png"}
    assert (done.out / read_star(done.out / "picks.star")["particles"]["rlnMicrographName"][0]).exists()


def test_references_are_class_averages_or_a_map(run_job: RunJob, micrographs: Path, tmp_path: Path) -> None:
    line = np.arange(48) - 24
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    ball = (np.sqrt(x**2 + y**2 + z**2) < DIAMETER_ANGSTROM / 2 / PIXEL_ANGSTROM).astype(np.float32)
    write_mrc(tmp_path / "map.mrc", ball, PIXEL_ANGSTROM)
    write_mrc(tmp_path / "classes.mrcs", ball[24][None], PIXEL_ANGSTROM, stack=True)
    for name in ("map.mrc", "classes.mrcs"):
        done = run_job(
            "pick", {"input": micrographs, "reference": tmp_path / name}, out=Path(name).stem, method="template",
            particle_diameter_angstrom=DIAMETER_ANGSTROM, template_resolution_angstrom=40.0, plot_count=0,
        )  # fmt: skip
        check_picks(done.out)


def test_references_without_pixel_size_are_refused(
    run_job: RunJob, micrographs: Path, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "map.mrc", np.ones((32, 32, 32), np.float32), 0.0)
    inputs = {"input": micrographs, "reference": tmp_path / "map.mrc"}
    with pytest.raises(InputError, match="pixel size"):
        run_job("pick", inputs, method="template", particle_diameter_angstrom=DIAMETER_ANGSTROM)


def test_template_needs_a_reference(run_job: RunJob, micrographs: Path) -> None:
    with pytest.raises(InputError, match="needs --reference"):
        run_job("pick", {"input": micrographs}, method="template", particle_diameter_angstrom=120.0)


def test_nothing_but_chance_is_an_error(run_job: RunJob, micrographs: Path) -> None:
    with pytest.raises(InputError, match="no particle was found"):
        run_job("pick", {"input": micrographs}, particle_diameter_angstrom=120.0, score_min=0.99)


def test_a_diameter_beyond_the_micrograph_is_refused(run_job: RunJob, micrographs: Path) -> None:
    with pytest.raises(InputError, match="too small for particles of 900 Å"):
        run_job("pick", {"input": micrographs}, particle_diameter_angstrom=900.0)
