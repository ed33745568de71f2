from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.star import read_star, write_star
from cryocloud.engine.io.table_records import particle_set, with_poses
from cryocloud.engine.io.tables import ParticleTables, read_particles, write_particles

RunJob = Callable[..., Any]
PIXEL_ANGSTROM = 2.0


def dotted(xy_px: np.ndarray, seed: int) -> np.ndarray:
    """Dark dots at positions given to a fraction of a pixel, in weak noise, as 16-bit numbers."""
    y, x = np.mgrid[:200, :240]
    image = np.random.default_rng(seed).normal(0, 20, size=(200, 240))
    for center in xy_px:
        image -= 400 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / 18)
    return np.round(3000 + image).astype(np.uint16)


POSITIONS = {
    "a": np.array([[60.25, 70.5], [150.0, 100.0], [10.0, 100.0]]),
    "b": np.array([[80.0, 120.75], [180.4, 60.0]]),
}


@pytest.fixture
def picks(tmp_path: Path) -> Path:
    """Five picks in two micrographs, one of them at the border."""
    folder = tmp_path / "pick"
    folder.mkdir()
    rows = []
    for seed, (name, xy_px) in enumerate(POSITIONS.items()):
        with mrcfile.new(folder / f"{name}.mrc") as mrc:
            mrc.set_data(dotted(xy_px, seed))
        rows += [(f"{name}.mrc", x, y) for x, y in xy_px]
    table = pd.DataFrame(rows, columns=["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"])
    table = table.assign(
        rlnOpticsGroup=1, rlnDefocusU=12000.0, rlnDefocusV=11900.0, rlnDefocusAngle=33.0,
        rlnAutopickFigureOfMerit=[0.5, 0.4, 0.3, 0.2, 0.1], userNote="kept",
    )  # fmt: skip
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1], "rlnOpticsGroupName": ["one"], "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
            "rlnMicrographPixelSize": [PIXEL_ANGSTROM], "rlnMicrographOriginalPixelSize": [PIXEL_ANGSTROM],
        }
    )  # fmt: skip
    write_particles(folder / "picks.star", ParticleTables(optics, table, folder))
    return folder / "picks.star"


def dot_centers(images: np.ndarray) -> np.ndarray:
    """(x, y) of the dot relative to pixel D//2."""
    line = np.arange(images.shape[-1]) - images.shape[-1] // 2
    weight = np.clip(images - 0.3 * images.max((1, 2), keepdims=True), 0, None)
    total = weight.sum((1, 2))
    return (
        np.stack([(weight * line).sum((1, 2)), (weight * line[:, None]).sum((1, 2))], axis=1) / total[:, None]
    )


def test_stack_and_table_agree(run_job: RunJob, picks: Path) -> None:
    done = run_job("extract", {"input": picks}, box_size_px=48, clamp_dust=False)
    tables = read_particles(done.out / "particles.star")
    particles = particle_set(tables)
    images = particles.read_images(np.arange(4))
    assert (particles.box_size_px, particles.pixel_size_angstrom) == (48, PIXEL_ANGSTROM)
    assert done.metrics["particles"] == 4 and done.metrics["rejected_at_edge"] == 1
    # White on black, and the origin points from the dot back to the box center.
    shift_px = particles.shift_px.numpy()
    assert np.abs(dot_centers(images) + shift_px).max() < 0.1
    assert np.abs(shift_px).max() <= 0.5
    assert tables.particles["userNote"].tolist() == ["kept"] * 4
    assert tables.particles["rlnAutopickFigureOfMerit"].tolist() == [0.5, 0.4, 0.2, 0.1]
    assert (done.job.plots / "examples.png").exists()


def test_boxes_beyond_the_edge_and_copies_are_told(run_job: RunJob, picks: Path) -> None:
    """A sixteenth of the box is 3 px; the second table has the picks of micrograph a again, moved by 1 px."""
    blocks = read_star(picks)
    again = blocks["particles"].iloc[:2].assign(rlnCoordinateX=[61.25, 151.0])
    blocks["particles"] = pd.concat([blocks["particles"], again], ignore_index=True)
    write_star(picks, blocks)
    done = run_job("extract", {"input": picks}, box_size_px=48)
    told = {decision["what"]: (decision["value"], decision["why"]) for decision in done.job.decisions}
    assert told["left out at the edge"] == ("1 of 5", "their boxes of 48 px reach beyond their micrographs")
    value, why = told["left out as copies"]
    assert value == "2 of 7" and "row 6, (61, 70) in a.mrc" in why
    assert (done.metrics["particles"], done.metrics["duplicates"]) == (4, 2)
    assert done.exceptions == {}


def test_hot_pixels_do_not_reach_the_particles(run_job: RunJob, picks: Path) -> None:
    clean = run_job("extract", {"input": picks}, out="clean", box_size_px=48, clamp_dust=False)
    spoiled = dotted(POSITIONS["a"], 0)
    spoiled[80, :] = 65535
    with mrcfile.mmap(picks.parent / "a.mrc", mode="r+") as mrc:
        mrc.data[:] = spoiled
    done = run_job("extract", {"input": picks}, box_size_px=48, clamp_dust=False)
    assert done.metrics["outlier_pixels"] == 240
    before, after = (mrcfile.read(run.out / "particles.mrcs") for run in (clean, done))
    # One row of 48 has other noise; a row of hot pixels would leave nothing in common.
    assert np.corrcoef(before[0].ravel(), after[0].ravel())[0, 1] > 0.95


def test_background_is_normalised_in_the_stored_sampling(run_job: RunJob, picks: Path) -> None:
    done = run_job(
        "extract",
        {"input": picks},
        box_size_px=48,
        output_box_size_px=24,
        number_type="float16",
        clamp_dust=False,
    )
    with mrcfile.open(done.out / "particles.mrcs") as stack:
        assert stack.data.dtype == np.float16 and stack.data.shape == (4, 24, 24)
        images = stack.data.astype(np.float32)
    line = np.arange(24) - 12
    outside = images[:, np.hypot(line[:, None], line) > 9.5]
    # float16 holds three digits; the corner pixels are a part of the whole background.
    assert outside.mean() == pytest.approx(0, abs=0.05) and outside.std() == pytest.approx(1, abs=0.05)
    tables = read_particles(done.out / "particles.star")
    assert tables.optics["rlnImagePixelSize"][0] == 4.0 and tables.optics["rlnImageSize"][0] == 24
    assert np.abs(dot_centers(images) + particle_set(tables).shift_px.numpy()).max() < 0.15


def test_recentering_moves_boxes_by_the_origins(run_job: RunJob, picks: Path, tmp_path: Path) -> None:
    first = run_job("extract", {"input": picks}, out="first", box_size_px=32)
    tables = read_particles(first.out / "particles.star")
    particles = particle_set(tables)
    moved = particles.shift_px.clone()
    moved[:, 0] += 5.3
    write_particles(first.out / "moved.star", with_poses(tables, particles.rotation, moved))
    again = run_job("extract", {"input": first.out / "moved.star"}, out="again", box_size_px=32)
    old, new = tables.particles, read_particles(again.out / "particles.star").particles
    for axis, shift in (("X", -5.3), ("Y", 0.0)):

        def position(table: pd.DataFrame, axis: str = axis) -> np.ndarray:
            return (
                table[f"rlnCoordinate{axis}"] - table[f"rlnOrigin{axis}Angst"] / PIXEL_ANGSTROM
            ).to_numpy()

        assert position(new) - position(old) == pytest.approx(shift, abs=1e-3)
    assert new["rlnOriginXAngst"].abs().max() <= 0.5 * PIXEL_ANGSTROM
    assert new["rlnImageName"].str.endswith("@particles.mrcs").all()
    kept = run_job("extract", {"input": first.out / "moved.star"}, out="kept", box_size_px=32, recenter=False)
    unmoved = read_particles(kept.out / "particles.star").particles
    assert unmoved["rlnCoordinateX"].tolist() == old["rlnCoordinateX"].tolist()
    assert (unmoved["rlnOriginXAngst"] - old["rlnOriginXAngst"]).to_numpy() == pytest.approx(
        5.3 * 2, abs=1e-3
    )


def test_noise_boxes_avoid_the_particles(run_job: RunJob, picks: Path) -> None:
    done = run_job(
        "extract", {"input": picks}, box_size_px=32, noise_boxes=11, particle_diameter_angstrom=50.0
    )
    table = read_particles(done.out / "particles.star").particles
    assert len(table) == 11 and "rlnAutopickFigureOfMerit" not in table
    for name, xy_px in POSITIONS.items():
        boxes = table[table["rlnMicrographName"].str.endswith(f"{name}.mrc")]
        distance = np.linalg.norm(
            boxes[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy()[:, None] - xy_px[None], axis=2
        )
        assert len(boxes) in (5, 6) and distance.min() >= 25
    assert (table["rlnDefocusU"] == 12000).all()


def test_scores_below_the_limit_are_left_out(run_job: RunJob, picks: Path) -> None:
    assert run_job("extract", {"input": picks}, box_size_px=32, score_min=0.35).metrics["particles"] == 2
    with pytest.raises(InputError, match="lists no picks"):
        run_job("extract", {"input": picks}, out="none", box_size_px=32, score_min=0.9)


def test_a_box_larger_than_the_micrograph_is_refused(run_job: RunJob, picks: Path) -> None:
    with pytest.raises(InputError, match=r"box of 256 px is larger than the micrograph of 240 x 200 px"):
        run_job("extract", {"input": picks}, box_size_px=256)


def test_boxes_that_all_reach_beyond_the_border_are_an_error(run_job: RunJob, picks: Path) -> None:
    with pytest.raises(InputError, match="all 5 boxes of 200 px reach beyond"):
        run_job("extract", {"input": picks}, box_size_px=200)


@pytest.mark.parametrize("wrong", [{"box_size_px": 33}, {"box_size_px": 32, "output_box_size_px": 48}])
def test_boxes_must_be_even_and_not_grow(run_job: RunJob, picks: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        run_job("extract", {"input": picks}, **wrong)


def test_a_circle_without_background_is_refused(run_job: RunJob, picks: Path) -> None:
    with pytest.raises(InputError, match="leaves no background"):
        run_job("extract", {"input": picks}, box_size_px=32, background_diameter_angstrom=200.0)


def test_a_bad_micrograph_is_set_aside(run_job: RunJob, picks: Path) -> None:
    image = dotted(POSITIONS["b"], 1).astype(np.float32)
    image[115:125, 75:85] = np.nan
    (picks.parent / "b.mrc").unlink()
    write_mrc(picks.parent / "b.mrc", image, PIXEL_ANGSTROM)
    done = run_job("extract", {"input": picks}, box_size_px=32)
    assert done.metrics["particles"] == 2
    assert len(done.exceptions) == 1 and "NaN" in next(iter(done.exceptions.values()))


def test_missing_columns_are_named(run_job: RunJob, picks: Path) -> None:
    picks.write_text(picks.read_text().replace("_rlnCoordinateY", "_rlnSomethingElse"))
    with pytest.raises(InputError, match="_rlnCoordinateY"):
        run_job("extract", {"input": picks}, box_size_px=32)


def test_relion_reads_the_stack(run_job: RunJob, picks: Path, relion: None) -> None:
    done = run_job("extract", {"input": picks}, box_size_px=48)
    command = ["relion_stack_create", "--i", "particles.star", "--o", "copy"]
    subprocess.run(command, cwd=done.out, check=True, capture_output=True, timeout=60)
    assert np.array_equal(mrcfile.read(done.out / "copy.mrcs"), mrcfile.read(done.out / "particles.mrcs"))
    assert len(read_star(done.out / "copy.star")["particles"]) == 4
