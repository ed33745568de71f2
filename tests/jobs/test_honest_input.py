"""Input that says what is not so: named, counted, warned of, and no reason for a run to end."""

from __future__ import annotations

import codecs
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import open_mrc, write_mrc
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.table_records import particle_set
from cryocloud.engine.io.tables import read_micrographs, read_particles

RunJob = Callable[..., Any]
PIXEL, BOX, COUNT = 2.0, 32, 24
OPTICS_COLUMNS = (
    "OpticsGroupName", "OpticsGroup", "Voltage", "SphericalAberration", "AmplitudeContrast", "ImagePixelSize",
)  # fmt: skip
COLUMNS = ("ImageName", "MicrographName", "OpticsGroup", "DefocusU", "DefocusV", "DefocusAngle")
GIVEN = {
    "pixel_size_angstrom": PIXEL, "voltage_kv": 300, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.1,
}  # fmt: skip


def loop(block: str, columns: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([f"data_{block}", "", "loop_", *(f"_rln{column}" for column in columns), *rows, "", ""])


def ball() -> np.ndarray:
    line = np.arange(BOX) - BOX // 2
    return (sum(axis**2 for axis in np.meshgrid(line, line, line)) < 6**2).astype(np.float32)


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Noise images and their STAR file, whose text a test may falsify."""
    images = np.random.default_rng(0).normal(size=(COUNT, BOX, BOX)).astype(np.float32)
    write_mrc(tmp_path / "stack.mrcs", images, PIXEL, stack=True)
    rows = [f"{i + 1:06d}@stack.mrcs mic{i % 3}.mrc 1 {10000 + i} 9900 20" for i in range(COUNT)]

    def make(
        *, optics: str = "og1 1 300 2.7 0.1 2.0", rows: list[str] = rows, more: tuple[str, ...] = ()
    ) -> Path:
        text = loop("optics", OPTICS_COLUMNS, [optics]) + loop("particles", COLUMNS + more, rows)
        (tmp_path / "particles.star").write_text(text)
        return tmp_path / "particles.star"

    make.rows = rows  # type: ignore[attr-defined]
    return make


@pytest.fixture
def micrographs(tmp_path: Path) -> Path:
    """Three micrographs of noise."""
    for number in range(3):
        image = np.random.default_rng(number).normal(size=(64, 72)).astype(np.float32)
        write_mrc(tmp_path / "mics" / f"mic{number}.mrc", image, PIXEL)
    return tmp_path / "mics"


# Copies


def test_copies_of_a_micrograph_are_named_and_used_once(micrographs: Path, run_job: RunJob) -> None:
    original = open_mrc(micrographs / "mic0.mrc")
    write_mrc(micrographs / "renamed.mrc", original, PIXEL)
    write_mrc(micrographs / "with_another_header.mrc", original, 0.0)
    run = run_job("import_micrographs", {"input": micrographs}, **GIVEN)
    names = read_micrographs(run.out / "micrographs.star").micrographs["rlnMicrographName"]
    assert [Path(name).name for name in names] == [f"mic{number}.mrc" for number in range(3)]
    assert {Path(item).name: reason.split("/")[-1] for item, reason in run.exceptions.items()} == {
        "renamed.mrc": "mic0.mrc; used once",
        "with_another_header.mrc": "mic0.mrc; used once",
    }
    assert run.metrics["duplicates"] == 2
    assert "2 of 5 micrographs are copies" in run.job.warnings[0]


def test_a_micrograph_that_a_list_names_twice_is_used_once(micrographs: Path, run_job: RunJob) -> None:
    text = loop("", ("MicrographName",), ["mic0.mrc", "mic1.mrc", "mic0.mrc"])
    (micrographs / "list.star").write_text(text)
    run = run_job("import_micrographs", {"input": micrographs / "list.star"}, **GIVEN)
    names = read_micrographs(run.out / "micrographs.star").micrographs["rlnMicrographName"]
    assert [Path(name).name for name in names] == ["mic0.mrc", "mic1.mrc"]
    assert list(run.exceptions.values()) == ["is listed twice; used once"]


def test_rows_that_repeat_an_image_are_named_and_used_once(table: Any, run_job: RunJob) -> None:
    # The same images under other spellings of their names.
    again = [row.replace("0000", "").replace("@stack", "@./stack") for row in table.rows[:5]]
    run = run_job("import_particles", {"input": table(rows=table.rows + again)})
    assert len(read_particles(run.out / "particles.star")) == COUNT
    assert run.metrics["duplicates"] == 5
    assert len(run.exceptions) == 5
    assert run.exceptions["01@./stack.mrcs"] == "row 25 lists it again (first in row 1); used once"
    assert "5 of 29 particles are copies" in run.job.warnings[0]


def test_images_with_the_same_pixels_are_used_once(tmp_path: Path, table: Any, run_job: RunJob) -> None:
    write_mrc(tmp_path / "copy.mrcs", open_mrc(tmp_path / "stack.mrcs")[3:5], PIXEL, stack=True)
    again = ["1@copy.mrcs mic0.mrc 1 10000 9900 20", "2@copy.mrcs mic0.mrc 1 10000 9900 20"]
    run = run_job("import_particles", {"input": table(rows=table.rows + again)})
    assert run.metrics["particles"] == COUNT
    assert run.exceptions["1@copy.mrcs"] == "has the same pixels as 000004@stack.mrcs; used once"
    assert run.metrics["duplicates"] == 2


def test_particles_in_one_place_are_used_once(table: Any, run_job: RunJob) -> None:
    """Nearer than a sixteenth of the box, which is 4 A here, that is 2 px; rows 0, 3, 6 ... share a micrograph."""
    places = [f"{200 + 40 * i} 300" for i in range(COUNT)]
    places[3], places[6], places[1] = "201.5 301", "203 300", "200 300"
    rows = [f"{row} {place}" for row, place in zip(table.rows, places, strict=True)]
    run = run_job("import_particles", {"input": table(rows=rows, more=("CoordinateX", "CoordinateY"))})
    assert list(run.exceptions) == ["000004@stack.mrcs"]
    assert "within 4 Å of 000001@stack.mrcs" in run.exceptions["000004@stack.mrcs"]
    assert run.metrics["duplicates"] == 1


def test_zeros_for_unknown_places_are_no_places(table: Any, run_job: RunJob) -> None:
    rows = [f"{row} 0 0" for row in table.rows]
    run = run_job("import_particles", {"input": table(rows=rows, more=("CoordinateX", "CoordinateY"))})
    assert (run.metrics["particles"], run.exceptions) == (COUNT, {})


def test_copies_never_reach_opposite_half_sets(tmp_path: Path, table: Any, run_job: RunJob) -> None:
    """A table that comes past the import, with each particle in both half sets, twice in one place, too."""
    places = [f"{200 + 40 * i} 300" for i in range(COUNT)]
    places[3] = places[0]
    rows = [f"{row} {place}" for row, place in zip(table.rows, places, strict=True)]
    both = [f"{row} {half}" for half in (1, 2) for row in rows]
    star = table(rows=both, more=("CoordinateX", "CoordinateY", "RandomSubset"))
    write_mrc(tmp_path / "start.mrc", ball(), PIXEL)
    text = star.read_text()
    for number, half in enumerate((1, 2) * (COUNT // 2)):
        row = f"{rows[number]} 1"
        text = text.replace(row, row[:-1] + str(half), 1)
    star.write_text(text)
    run = run_job(
        "refine",
        {"input": star, "reference": tmp_path / "start.mrc"},
        max_iterations=2,
        start_resolution_angstrom=20,
    )
    refined = read_particles(run.out / "particles.star").particles
    assert len(refined) == COUNT - 1
    assert not refined["rlnImageName"].duplicated().any()
    assert len(run.exceptions) == COUNT
    assert [warning.split(" particles")[0] for warning in run.job.warnings] == ["24 of 48", "1 of 24"]


def test_a_map_of_one_image_many_times_is_limited_by_the_pixel(
    tmp_path: Path, table: Any, run_job: RunJob
) -> None:
    """Copies with a little noise of their own have neither pixels, names nor places in common: the halves tell.

    Without defocus and aberration, and with nothing but amplitude contrast, the CTF is 1.
    """
    generator = np.random.default_rng(1)
    volume = generator.normal(size=(BOX, BOX, BOX)) * ball()
    image = volume.sum(axis=0)
    images = image + 0.1 * image.std() * generator.normal(size=(COUNT, BOX, BOX))
    write_mrc(tmp_path / "stack.mrcs", images, PIXEL, stack=True)
    write_mrc(tmp_path / "start.mrc", volume, PIXEL)
    rows = [" ".join([*row.split()[:3], "0 0 0"]) for row in table.rows]
    star = table(rows=rows, optics="og1 1 300 0 1 2.0")
    inputs = {"input": star, "reference": tmp_path / "start.mrc"}
    run = run_job("refine", inputs, max_iterations=2, start_resolution_angstrom=8)
    assert run.metrics["limited_by_pixel"] == 1
    assert "is limited by the pixel" in run.job.warnings[0]


# Values that cannot be


def test_a_particle_without_defocus_is_set_aside(table: Any, run_job: RunJob) -> None:
    rows = [table.rows[0].replace("10000 9900", "nan nan"), *table.rows[1:]]
    run = run_job("import_particles", {"input": table(rows=rows)})
    assert len(read_particles(run.out / "particles.star")) == COUNT - 1
    assert run.exceptions == {"000001@stack.mrcs": "_rlnDefocusU is nan, which is no number to work with"}


def test_no_particle_with_a_defocus_is_an_error(table: Any, run_job: RunJob) -> None:
    rows = [" ".join([*row.split()[:3], "nan", "inf", "20"]) for row in table.rows]
    with pytest.raises(InputError, match=r"none of 24 particles is usable; the first: _rlnDefocusU is nan"):
        run_job("import_particles", {"input": table(rows=rows)})


@pytest.mark.parametrize(
    ("optics", "message"),
    [
        ("og1 1 300000 2.7 0.1 2.0", r"voltage 300000 kV .*did you mean 300\? .*--voltage-kv 300"),
        ("og1 1 nan 2.7 0.1 2.0", r"voltage nan kV .*not between 20 and 3000 kV\. Mend the table"),
        ("og1 1 300 2700 0.1 2.0", r"spherical aberration 2700 mm .*did you mean 2\.7\?"),
        ("og1 1 300 2.7 10 2.0", r"amplitude contrast 10 .*did you mean 0\.1\?"),
    ],
)
def test_optics_that_cannot_be_are_refused(table: Any, run_job: RunJob, optics: str, message: str) -> None:
    for job_type in ("import_particles", "class2d"):
        with pytest.raises(InputError, match=message):
            run_job(job_type, {"input": table(optics=optics)}, out=job_type)


def test_micrographs_in_volt_are_refused(micrographs: Path, run_job: RunJob) -> None:
    columns = ("OpticsGroup", "Voltage", "SphericalAberration", "AmplitudeContrast", "MicrographPixelSize")
    text = loop("optics", columns, ["1 300000 2.7 0.1 2.0"]) + loop(
        "micrographs", ("MicrographName",), ["mic0.mrc"]
    )
    (micrographs / "list.star").write_text(text)
    for job_type in ("import_micrographs", "ctf"):
        with pytest.raises(InputError, match=r"300000 kV .*did you mean 300\?"):
            run_job(job_type, {"input": micrographs / "list.star"}, out=job_type)


@pytest.mark.parametrize("contrast", [0, 1])
def test_an_amplitude_contrast_that_no_specimen_has_is_warned_of(
    table: Any, run_job: RunJob, contrast: int
) -> None:
    run = run_job("import_particles", {"input": table(optics=f"og1 1 300 2.7 {contrast} 2.0")})
    assert [warning.split(",")[0] for warning in run.job.warnings] == [
        f"the amplitude contrast is {contrast}"
    ]
    assert run.metrics["particles"] == COUNT


def test_a_pixel_size_that_contradicts_the_stack_is_warned_of(table: Any, run_job: RunJob) -> None:
    run = run_job("import_particles", {"input": table(optics="og1 1 300 2.7 0.1 4.0")})
    assert "(stack.mrcs: 2 Å); 4 Å is used" in run.job.warnings[0]
    assert run.metrics["pixel_size_angstrom"] == 4.0


def test_a_pixel_size_that_contradicts_the_micrographs_is_warned_of(
    micrographs: Path, run_job: RunJob
) -> None:
    run = run_job("import_micrographs", {"input": micrographs}, **GIVEN | {"pixel_size_angstrom": 5.0})
    assert "3 headers have another pixel size (mic0.mrc: 2 Å); 5 Å is used" in run.job.warnings[0]


# Text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
    ids=["utf-8", "utf-16-le", "utf-16-be"],
)
def test_byte_order_marks_are_read(table: Any, run_job: RunJob, mark: bytes, encoding: str) -> None:
    star = table()
    star.write_bytes(mark + star.read_text().replace("\n", "\r\n").encode(encoding))
    run = run_job("import_particles", {"input": star})
    assert len(particle_set(read_particles(run.out / "particles.star"))) == COUNT


# The cases that users brought, where their script is at hand


@dataclass(frozen=True)
class Outcome:
    """What the command line left."""

    code: int
    said: str
    out: Path

    def record(self, name: str) -> Any:
        return json.loads((self.out / name).read_text())


class Cases:
    """Runs jobs on the files of the script."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder, self.work = folder, work
        work.mkdir()

    def run(self, job_type: str, name: str, *options: object) -> Outcome:
        out = self.work / str(len(list(self.work.iterdir())))
        command = [
            sys.executable,
            "-m",
            "cryocloud.client.cli",
            "run",
            job_type,
            "--input",
            str(self.folder / name),
        ]
        ended = subprocess.run(
            [*command, "--out", str(out), *map(str, options)], capture_output=True, text=True, check=False
        )
        return Outcome(ended.returncode, ended.stderr, out)

    def particles(self, name: str) -> Outcome:
        return self.run("import_particles", f"{name}.star")

    def micrographs(self, name: str) -> Outcome:
        optics = (
            "--pixel-size-angstrom", 2.5, "--voltage-kv", 300, "--spherical-aberration-mm", 2.7,
            "--amplitude-contrast", 0.1,
        )  # fmt: skip
        return self.run("import_micrographs", name, *optics)


def hot_lines(cases: Cases) -> None:
    """The micrographs have no rings, so that picks are compared: test_ctf compares the defocus."""
    listed = cases.micrographs("hot_lines").out / "micrographs.star"
    picked = cases.run("pick", str(listed), "--particle-diameter-angstrom", 150)
    # A row and a column of 960 px that cross.
    assert picked.record("metrics.json")["outlier_pixels"] == 2 * 960 - 1
    assert "1 of 3 micrographs have lines" in picked.said
    assert sum("mic_0" in name for name in names_of_picks(picked)) > 10


def names_of_picks(ended: Outcome) -> list[str]:
    return [Path(name).name for name in read_star(ended.out / "picks.star")["particles"]["rlnMicrographName"]]


def same_three_times(cases: Cases) -> None:
    ended = cases.micrographs("same_three_times")
    assert ended.code == 3 and "2 of 3 micrographs are copies" in ended.said
    assert ended.record("metrics.json")["micrographs"] == 1


def header_says_5(cases: Cases) -> None:
    ended = cases.micrographs("header_says_5")
    assert ended.code == 0 and "(mic_0.mrc: 5 Å); 2.5 Å is used" in ended.said


def byte_order_mark(cases: Cases) -> None:
    ended = cases.particles("byte_order_mark")
    assert ended.code == 0 and ended.record("metrics.json")["particles"] == 20


def nan_defocus(cases: Cases) -> None:
    ended = cases.particles("nan_defocus")
    assert ended.code == 3 and "000001@stack.mrcs: _rlnDefocusU is nan" in ended.said
    assert ended.record("metrics.json")["particles"] == 19


def rows_twice(cases: Cases) -> None:
    ended = cases.particles("rows_twice")
    assert ended.code == 3 and "20 of 40 particles are copies" in ended.said
    metrics = ended.record("metrics.json")
    assert (metrics["particles"], metrics["duplicates"], ended.record("job.json")["exceptions"]) == (
        20,
        20,
        20,
    )


def voltage_in_volt(cases: Cases) -> None:
    ended = cases.particles("voltage_in_volt")
    assert ended.code == 2 and "300000 kV" in ended.said and "did you mean 300?" in ended.said


def amplitude_contrast_0(cases: Cases) -> None:
    ended = cases.particles("amplitude_contrast_0")
    assert ended.code == 0 and "WARNING: the amplitude contrast is 0" in ended.said


def pixel_size_contradicts_header(cases: Cases) -> None:
    ended = cases.particles("pixel_size_contradicts_header")
    assert ended.code == 0 and "(stack.mrcs: 2 Å); 4 Å is used" in ended.said


def coordinates_only(cases: Cases) -> None:
    known = cases.micrographs("header_says_5").out / "micrographs.star"
    diameter = ("--particle-diameter-angstrom", 150)
    ended = cases.run("import_coordinates", "coordinates_only.star", "--micrographs", known, *diameter)
    assert ended.code == 0
    assert names_of_picks(ended) == ["mic_0.mrc", "mic_1.mrc"]


def names_outside(cases: Cases) -> None:
    """Read as any path here; what a platform refuses is in test_names_outside."""
    ended = cases.particles("names_outside")
    assert ended.code == 2 and "other-organization/stack.mrcs: cannot be opened" in ended.said


CASES = {
    reader.__name__: reader
    for reader in (
        hot_lines, same_three_times, header_says_5, byte_order_mark, nan_defocus, rows_twice, voltage_in_volt,
        amplitude_contrast_0, pixel_size_contradicts_header, coordinates_only, names_outside,
    )
}  # fmt: skip


@pytest.fixture
def cases(data_dir: Path, tmp_path: Path) -> Cases:
    script = data_dir.parent / "cases" / "make_cases.py"
    if not script.is_file():
        pytest.skip(f"no cases at {script}")
    subprocess.run([sys.executable, str(script), str(tmp_path / "cases")], check=True)
    return Cases(tmp_path / "cases", tmp_path / "work")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_cases_of_users_through_the_command_line(cases: Cases, name: str) -> None:
    CASES[name](cases)


def test_every_case_of_users_has_a_test(cases: Cases) -> None:
    expected = json.loads((cases.folder / "expected.json").read_text())
    assert expected.keys() == CASES.keys()
