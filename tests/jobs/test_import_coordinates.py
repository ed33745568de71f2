"""Coordinates of other programs become picks of the micrographs that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import read_star, write_star
from cryocloud.engine.io.tables import MicrographTables, write_micrographs

RunJob = Callable[..., Any]
PIXEL, HEIGHT, WIDTH = 2.0, 120, 160


@pytest.fixture
def micrographs(tmp_path: Path) -> Path:
    """Two micrographs of 160 x 120 px with CTF."""
    folder = tmp_path / "Ctf"
    for number in range(2):
        image = np.random.default_rng(number).normal(size=(HEIGHT, WIDTH)).astype(np.float32)
        write_mrc(folder / f"mic_{number}.mrc", image, PIXEL)
    optics = {
        "rlnOpticsGroup": 1, "rlnOpticsGroupName": "one", "rlnVoltage": 300.0, "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": 0.1, "rlnMicrographPixelSize": PIXEL, "rlnMicrographOriginalPixelSize": PIXEL,
    }  # fmt: skip
    rows = pd.DataFrame(
        {
            "rlnMicrographName": ["mic_0.mrc", "mic_1.mrc"], "rlnOpticsGroup": 1, "rlnDefocusU": [9000.0, 12000.0],
            "rlnDefocusV": [8900.0, 11900.0], "rlnDefocusAngle": 20.0,
        }
    )  # fmt: skip
    write_micrographs(folder / "micrographs.star", MicrographTables(pd.DataFrame([optics]), rows, folder))
    return folder / "micrographs.star"


@pytest.fixture
def imported(run_job: RunJob, micrographs: Path) -> Callable[..., Any]:
    """Run the job; its picks are in ``picks`` as (file name, x, y)."""

    def run(source: Path, **parameters: Any) -> Any:
        given = {"particle_diameter_angstrom": 40.0, "plot_count": 0} | parameters
        return run_job("import_coordinates", {"input": source, "micrographs": micrographs}, **given)

    return run


def picks_of(run: Any) -> list[tuple[str, float, float]]:
    rows = read_star(run.out / "picks.star")["particles"]
    names = [Path(name).name for name in rows["rlnMicrographName"]]
    return list(zip(names, rows["rlnCoordinateX"], rows["rlnCoordinateY"], strict=True))


def star_of(path: Path, rows: list[tuple[str, float, float]], **more: Any) -> Path:
    columns = ["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"]
    write_star(path, {"particles": pd.DataFrame(rows, columns=columns).assign(**more)})
    return path


def test_a_bare_table_becomes_picks_with_optics_and_ctf(
    tmp_path: Path, imported: Any, run_job: RunJob
) -> None:
    rows = [("elsewhere/mic_1.mrc", 100.0, 50.5), ("elsewhere/mic_0.mrc", 60.0, 70.0)]
    star = star_of(tmp_path / "picked.star", rows, rlnAutopickFigureOfMerit=[0.5, 0.25])
    run = imported(star, plot_count=1)
    assert picks_of(run) == [("mic_1.mrc", 100.0, 50.5), ("mic_0.mrc", 60.0, 70.0)]
    blocks = read_star(run.out / "picks.star")
    assert blocks["particles"]["rlnDefocusU"].tolist() == [12000.0, 9000.0]
    assert blocks["particles"]["rlnAutopickFigureOfMerit"].tolist() == [0.5, 0.25]
    assert blocks["optics"]["rlnMicrographPixelSize"].tolist() == [PIXEL]
    assert (run.metrics["picks"], run.metrics["micrographs"], run.exceptions) == (2, 2, {})
    assert [path.name for path in run.job.plots.iterdir()] == ["picks_mic_0.png"]
    cut = run_job("extract", {"input": run.out / "picks.star"}, out="Extract", box_size_px=32)
    assert cut.metrics["particles"] == 2


def test_a_folder_of_files_named_after_their_micrographs(tmp_path: Path, imported: Any) -> None:
    """An EMAN box has its corner in the file, a text file the center; what is no coordinates is named."""
    folder = tmp_path / "picked"
    folder.mkdir()
    (folder / "mic_0.box").write_text("10 20 32 32 -3\n# a comment\n90\t60\t32\t32\n")
    (folder / "mic_1_autopick.txt").write_text("40.5, 50\n100 70 0.9\n")
    (folder / "mic_1_notes.txt").write_text("nothing to see\n")
    (folder / "other_9.box").write_text("1 1 4 4\n")
    run = imported(folder)
    assert picks_of(run) == [
        ("mic_0.mrc", 26, 36), ("mic_0.mrc", 106, 76), ("mic_1.mrc", 40.5, 50), ("mic_1.mrc", 100, 70)
    ]  # fmt: skip
    assert run.exceptions.keys() == {"mic_1_notes.txt", "other_9.box"}
    assert "'nothing to see' is not 2 or more numbers" in run.exceptions["mic_1_notes.txt"]
    assert run.exceptions["other_9.box"].startswith(
        "no micrograph of the list has this name; its 1 coordinates"
    )


def test_tables_of_topaz_and_cryosparc(tmp_path: Path, imported: Any) -> None:
    (tmp_path / "topaz.txt").write_text("image_name\tx_coord\ty_coord\tscore\nmic_1\t40\t50\t1.5\n")
    run = imported(tmp_path / "topaz.txt")
    assert picks_of(run) == [("mic_1.mrc", 40, 50)]
    assert read_star(run.out / "picks.star")["particles"]["rlnAutopickFigureOfMerit"].tolist() == [1.5]
    dtype = [
        ("location/micrograph_path", "S60"), ("location/center_x_frac", "<f4"), ("location/center_y_frac", "<f4"),
        ("location/micrograph_shape", "<u4", 2),
    ]  # fmt: skip
    records = np.array(
        [(b">J1/imported/000111222333444555666_mic_0.mrc", 0.25, 0.75, (HEIGHT, WIDTH))], dtype=dtype
    )
    with (tmp_path / "picks.cs").open("wb") as stream:
        np.save(stream, records)
    assert picks_of(imported(tmp_path / "picks.cs")) == [("mic_0.mrc", 40, 90)]


def test_y_counted_from_the_other_edge(tmp_path: Path, imported: Any) -> None:
    star = star_of(tmp_path / "picked.star", [("mic_0.mrc", 30.0, 0.0), ("mic_0.mrc", 30.0, 100.0)])
    assert picks_of(imported(star, flip_y=True)) == [("mic_0.mrc", 30, HEIGHT - 1), ("mic_0.mrc", 30, 19)]


def test_what_lies_outside_is_counted_and_copies_are_named(tmp_path: Path, imported: Any) -> None:
    """A tenth of 40 A is 2 px."""
    rows = [
        ("mic_0.mrc", 30.0, 30.0),
        ("mic_0.mrc", 31.0, 31.0),
        ("mic_0.mrc", 200.0, 30.0),
        ("mic_1.mrc", 30.0, 30.0),
    ]
    run = imported(star_of(tmp_path / "picked.star", [*rows, ("mic_1.mrc", 30.0, float("nan"))]))
    assert picks_of(run) == [("mic_0.mrc", 30, 30), ("mic_1.mrc", 30, 30)]
    assert (run.metrics["outside_image"], run.metrics["duplicates"]) == (2, 1)
    assert run.exceptions == {
        "mic_0.mrc (31, 31)": "lies within 4 Å of (30, 30): the same particle; used once"
    }
    assert (
        "2 of 5 coordinates lie outside" in run.job.warnings[0]
        and "200, 30 in mic_0.mrc" in run.job.warnings[0]
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "picked.star",
            "data_\nloop_\n_rlnMicrographName\nmic_0.mrc\n",
            "no table has the columns _rlnCoordinateX",
        ),
        ("mic_7.txt", "1 2\n", r"none of the names .*mic_7\.txt.*is one of the 2 micrographs"),
        ("mic_0.txt", "1000 2\n", "1 of 1 coordinates lie outside"),
        ("mic_0.box", "1 2\n", "'1 2' is not 4 or more numbers"),
        ("mic_0.dat", "1 2\n", "has none of the endings"),
    ],
)
def test_nothing_usable_is_an_error(
    tmp_path: Path, imported: Any, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        imported(tmp_path / name)


def test_micrographs_of_one_name_are_not_guessed_at(tmp_path: Path, imported: Any, micrographs: Path) -> None:
    text = micrographs.read_text().replace("mic_1.mrc", "b/mic_0.mrc")
    micrographs.write_text(text)
    star = star_of(tmp_path / "picked.star", [("mic_0.mrc", 30.0, 30.0)])
    with pytest.raises(InputError, match="none of the names"):
        imported(star)
