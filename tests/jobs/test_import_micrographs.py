"""Import of micrographs: good ones listed with optics, bad ones set aside with their reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest

from cryocloud.compute.context import JobCancelled
from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import write_star
from cryocloud.engine.io.tables import read_micrographs

OPTICS = {
    "pixel_size_angstrom": 1.5,
    "voltage_kv": 300,
    "spherical_aberration_mm": 2.7,
    "amplitude_contrast": 0.1,
}
HEIGHT, WIDTH = 48, 64


def make_micrograph(path: Path, *, seed: int = 0, pixel_size: float = 1.5) -> np.ndarray:
    image = np.random.default_rng(seed).normal(100, 10, size=(HEIGHT, WIDTH)).astype(np.float32)
    write_mrc(path, image, pixel_size)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four good micrographs."""
    for number in range(4):
        make_micrograph(tmp_path / "mics" / f"good_{number}.mrc", seed=number)
    return tmp_path / "mics"


def test_good_micrographs(folder, run_job):
    run = run_job("import_micrographs", {"input": folder / "*.mrc"}, out="Import", **OPTICS)
    tables = read_micrographs(run.out / "micrographs.star")
    assert tables.optics.to_dict("records") == [
        {
            "rlnOpticsGroupName": "opticsGroup1",
            "rlnOpticsGroup": 1,
            "rlnMicrographOriginalPixelSize": 1.5,
            "rlnVoltage": 300.0,
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1,
            "rlnMicrographPixelSize": 1.5,
        }
    ]
    assert tables.micrographs["rlnMicrographName"].tolist() == [f"../mics/good_{n}.mrc" for n in range(4)]
    assert all((run.out / name).is_file() for name in tables.micrographs["rlnMicrographName"])
    assert run.exceptions == {}
    assert run.metrics["micrographs"] == 4
    assert (run.metrics["image_width_px"], run.metrics["image_height_px"]) == (WIDTH, HEIGHT)
    # means of four images of 3,072 pixels of deviation 10
    assert run.metrics["intensity_mean"] == pytest.approx(100, abs=5 * 10 / HEIGHT)
    assert run.metrics["intensity_deviation"] == pytest.approx(10, rel=0.1)
    for name in ("contact_sheet.png", "intensities.png"):
        assert (run.out / "plots" / name).stat().st_size > 2000


def test_statistics_are_exact_for_bright_micrographs(tmp_path, run_job):
    """A deviation of 1 on a mean of a million: naive sums of squares would lose it in float32."""
    image = (1e6 + np.random.default_rng(0).normal(size=(1100, 40))).astype(np.float32)
    write_mrc(tmp_path / "m.mrc", image, 1.5)
    run = run_job("import_micrographs", {"input": tmp_path / "m.mrc"}, **OPTICS)
    assert run.metrics["intensity_mean"] == pytest.approx(image.mean(dtype=np.float64), rel=1e-12)
    assert run.metrics["intensity_deviation"] == pytest.approx(image.std(dtype=np.float64), rel=1e-9)


def test_bad_micrographs_are_set_aside(folder, run_job):
    good = (folder / "good_0.mrc").read_bytes()
    (folder / "bad_truncated.mrc").write_bytes(good[:-500])
    (folder / "bad_terabytes.mrc").write_bytes(np.array([2**31 - 1] * 3, dtype="<i4").tobytes() + good[12:])
    (folder / "bad_text.mrc").write_text("no image " * 300)
    image = make_micrograph(folder / "bad_nan.mrc")
    image[3, 4:7] = [np.nan, np.inf, -np.inf]
    write_mrc(folder / "bad_nan.mrc", image, 1.5)
    write_mrc(folder / "bad_blank.mrc", np.full((HEIGHT, WIDTH), 7.0), 1.5)
    write_mrc(folder / "bad_turned.mrc", np.ones((WIDTH, HEIGHT)), 1.5)
    write_mrc(folder / "bad_movie.mrc", np.ones((5, HEIGHT, WIDTH)), 1.5, stack=True)

    run = run_job("import_micrographs", {"input": folder / "*.mrc"}, **OPTICS)

    reasons = {Path(item).name: reason for item, reason in run.exceptions.items()}
    expected = {
        "bad_truncated.mrc": "truncated",
        "bad_terabytes.mrc": "2147483647 x 2147483647 x 2147483647",
        "bad_text.mrc": "not an MRC header",
        "bad_nan.mrc": "3 of 3,072 pixels are NaN or infinite",
        "bad_blank.mrc": "all pixels are 7",
        "bad_turned.mrc": "is 48 x 64 px, most are 64 x 48 px",
        "bad_movie.mrc": "holds 5 sections",
    }
    assert reasons.keys() == expected.keys()
    for name, words in expected.items():
        assert words in reasons[name]
    names = read_micrographs(run.out / "micrographs.star").micrographs["rlnMicrographName"]
    assert [Path(name).name for name in names] == [f"good_{n}.mrc" for n in range(4)]
    assert run.metrics["quarantined"] == 7
    assert [entry["what"] for entry in run.job.decisions] == ["micrograph size"]


def test_folder_as_input(folder, run_job):
    (folder / "notes.txt").write_text("not an image")
    assert run_job("import_micrographs", {"input": folder}, **OPTICS).metrics["micrographs"] == 4


@pytest.mark.parametrize(
    ("name", "message"), [("", "holds no .mrc"), ("*.mrc", "no file matches"), ("x.mrc", "no file")]
)
def test_nothing_to_import(tmp_path, run_job, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        run_job("import_micrographs", {"input": tmp_path / "empty" / name}, **OPTICS)


def test_all_bad(tmp_path, run_job):
    write_mrc(tmp_path / "m.mrc", np.zeros((8, 8)), 1.5)
    with pytest.raises(InputError, match="none of 1 micrographs is usable"):
        run_job("import_micrographs", {"input": tmp_path / "m.mrc"}, **OPTICS)


# Pixel size


def test_given_pixel_size_wins_over_the_header(folder, run_job, capsys):
    make_micrograph(folder / "good_1.mrc", pixel_size=3.0)
    make_micrograph(folder / "good_2.mrc", pixel_size=1.0)
    run = run_job("import_micrographs", {"input": folder}, **OPTICS)
    assert run.metrics["pixel_size_mismatches"] == 1
    assert run.metrics["pixel_size_unknown"] == 1
    assert run.metrics["pixel_size_angstrom"] == 1.5
    log = capsys.readouterr().out
    assert "WARNING: 1 headers have another pixel size (good_1.mrc: 3 Å); 1.5 Å is used" in log
    assert "1 headers have no pixel size (0 or 1); 1.5 Å is used" in log


def test_pixel_size_from_the_headers(folder, run_job):
    run = run_job("import_micrographs", {"input": folder}, **(OPTICS | {"pixel_size_angstrom": None}))
    assert run.metrics["pixel_size_angstrom"] == 1.5
    assert run.job.decisions[0]["what"] == "pixel size"


@pytest.mark.parametrize(
    ("header", "message"),
    [(1.0, "stands for unknown"), (0.0, "stands for unknown"), (1.6, "go from 1.5 to 1.6")],
)
def test_pixel_size_that_the_headers_do_not_settle(folder, run_job, header, message):
    make_micrograph(folder / "good_3.mrc", pixel_size=header)
    with pytest.raises(InputError, match=message + ".*--pixel-size-angstrom"):
        run_job("import_micrographs", {"input": folder}, **(OPTICS | {"pixel_size_angstrom": None}))


def test_implausible_pixel_size_of_headers(tmp_path, run_job):
    """Nanometers in the header."""
    make_micrograph(tmp_path / "m.mrc", pixel_size=0.05)
    with pytest.raises(InputError, match=r"pixel size 0\.05 Å .*not between 0\.1 and 30"):
        run_job(
            "import_micrographs", {"input": tmp_path / "m.mrc"}, **(OPTICS | {"pixel_size_angstrom": None})
        )


def test_optics_that_nobody_gave(folder, run_job):
    with pytest.raises(
        InputError, match=r"_rlnVoltage, _rlnAmplitudeContrast.*--voltage-kv --amplitude-contrast"
    ):
        run_job("import_micrographs", {"input": folder}, pixel_size_angstrom=1.5, spherical_aberration_mm=2.7)


# STAR lists


def test_star_list_keeps_its_columns_and_optics(folder, run_job):
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1, 2],
            "rlnMicrographPixelSize": [1.5, 1.5],
            "rlnVoltage": [300.0, 200.0],
            "rlnSphericalAberration": [2.7, 2.7],
            "rlnAmplitudeContrast": [0.1, 0.07],
        }
    )
    rows = pd.DataFrame(
        {
            "rlnMicrographName": ["good_2.mrc", "gone.mrc", "good_0.mrc"],
            "rlnOpticsGroup": [2, 1, 1],
            "gridSquare": ["0012", "0013", "0014"],
        }
    )
    write_star(folder / "list.star", {"optics": optics, "micrographs": rows})
    run = run_job("import_micrographs", {"input": folder / "list.star"}, amplitude_contrast=0.2)
    tables = read_micrographs(run.out / "micrographs.star")
    assert tables.micrographs.to_dict("list") == {
        "rlnMicrographName": ["../mics/good_2.mrc", "../mics/good_0.mrc"],
        "rlnOpticsGroup": [2, 1],
        "gridSquare": ["0012", "0014"],
    }
    assert tables.optics["rlnVoltage"].tolist() == [300.0, 200.0]
    assert tables.optics["rlnAmplitudeContrast"].tolist() == [0.2, 0.2]
    assert "No such file" in run.exceptions[str(folder / "gone.mrc")]


def test_bare_star_list_takes_the_given_optics(folder, run_job):
    write_star(folder / "list.star", {"": pd.DataFrame({"rlnMicrographName": ["good_1.mrc"]})})
    run = run_job("import_micrographs", {"input": folder / "list.star"}, **OPTICS)
    optics = read_micrographs(run.out / "micrographs.star").optics
    assert optics["rlnMicrographPixelSize"].tolist() == [1.5]
    assert optics["rlnVoltage"].tolist() == [300.0]


# Interruption


def test_resumed_job_gives_the_same_and_does_not_look_twice(folder, run_job):
    image = make_micrograph(folder / "good_1.mrc", seed=9)
    image[0, 0] = np.nan
    write_mrc(folder / "good_1.mrc", image, 1.5)
    whole = run_job("import_micrographs", {"input": folder}, out="whole", **OPTICS)

    calls = 0

    def stop_after_three(fraction: float, message: str = "") -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise JobCancelled

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cryocloud.compute.context.JobContext.progress", lambda self, *a: stop_after_three(*a))
        with pytest.raises(JobCancelled):
            run_job("import_micrographs", {"input": folder}, out="halves", **OPTICS)
    journal = folder.parent / "halves/.checkpoint/checked.jsonl"
    assert len(journal.read_text().splitlines()) == 3
    # A kill in the middle of a write leaves half a line.
    journal.write_text(journal.read_text() + '["/half/a/li')
    resumed = run_job("import_micrographs", {"input": folder}, out="halves", resumed=True, **OPTICS)

    assert (resumed.out / "micrographs.star").read_bytes() == (whole.out / "micrographs.star").read_bytes()
    assert resumed.metrics == whole.metrics
    assert resumed.exceptions == whole.exceptions
    assert len(journal.read_text().splitlines()) == 4


def test_changed_file_is_looked_at_again(folder, run_job):
    assert run_job("import_micrographs", {"input": folder}, **OPTICS).metrics["micrographs"] == 4
    write_mrc(folder / "good_2.mrc", np.zeros((HEIGHT, WIDTH)), 1.5)
    again = run_job("import_micrographs", {"input": folder}, resumed=True, **OPTICS)
    assert again.metrics["micrographs"] == 3


# The command line


def test_exceptions_on_the_command_line(folder):
    (folder / "cut.mrc").write_bytes((folder / "good_0.mrc").read_bytes()[:2000])
    arguments = ["--input", "mics/*.mrc", "--voltage-kv", "300", "--spherical-aberration-mm", "2.7"]
    arguments += ["--amplitude-contrast", "0.1", "--pixel-size-angstrom", "1.5", "--out", "Import"]
    run = subprocess.run(
        [sys.executable, "-m", "cryocloud.client.cli", "run", "import_micrographs", *arguments],
        cwd=folder.parent, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 3, run.stderr
    assert (folder.parent / "Import/job.json").is_file()
    assert "truncated" in (folder.parent / "Import/exceptions.csv").read_text()


def test_public_micrographs(data_dir, run_job):
    """The 20 apoferritin micrographs: 1240 x 1200, 16 bit, all readable."""
    run = run_job(
        "import_micrographs",
        {"input": data_dir / "apoferritin_10146/micrographs/*.mrc"},
        **(OPTICS | {"spherical_aberration_mm": 0.01, "amplitude_contrast": 0.07}),
    )
    assert run.metrics["micrographs"] == 20
    assert run.metrics["pixel_size_mismatches"] == 0
    assert (run.metrics["image_width_px"], run.metrics["image_height_px"]) == (1240, 1200)
    with mrcfile.open(data_dir / "apoferritin_10146/micrographs/May08_03.05.02.mrc") as mrc:
        assert run.metrics["intensity_mean"] == pytest.approx(float(mrc.data.mean()), rel=0.01)
