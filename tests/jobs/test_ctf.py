from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import write_mrc
from cryocloud.engine.io.tables import MicrographTables, read_micrographs, write_micrographs
from cryocloud.jobs.kit.items import process_items

RunJob = Callable[..., Any]
DEFOCUS_ANGSTROM = {"a": 9000.0, "b": 14000.0, "c": 21000.0}
WAVELENGTH_ANGSTROM = 0.0196875


def micrograph(defocus_angstrom: float, seed: int, edge_px: int = 512) -> np.ndarray:
    """White scatterers through a CTF without aberration or amplitude contrast, in noise, at 1.5 Angstrom."""
    rng = np.random.default_rng(seed)
    s2 = np.fft.fftfreq(edge_px, 1.5)[:, None] ** 2 + np.fft.rfftfreq(edge_px, 1.5)[None] ** 2
    transfer = np.sin(np.pi * WAVELENGTH_ANGSTROM * defocus_angstrom * s2) * 3 * np.exp(-40 * s2)
    clean = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(edge_px, edge_px))) * transfer, s=(edge_px, edge_px))
    return (100 + 10 * (clean + rng.normal(size=clean.shape))).astype(np.float32)


@pytest.fixture
def micrographs(tmp_path: Path) -> Path:
    """Three micrographs and their list."""
    folder = tmp_path / "import"
    folder.mkdir()
    for seed, (name, defocus) in enumerate(DEFOCUS_ANGSTROM.items()):
        write_mrc(folder / f"{name}.mrc", micrograph(defocus, seed), 1.5)
    return write_list(folder, list(DEFOCUS_ANGSTROM))


def write_list(folder: Path, names: list[str], **optics: float) -> Path:
    values = {
        "rlnOpticsGroup": 1, "rlnVoltage": 300.0, "rlnSphericalAberration": 0.0, "rlnAmplitudeContrast": 0.0,
        "rlnMicrographPixelSize": 1.5, "rlnMicrographOriginalPixelSize": 1.5,
    } | optics  # fmt: skip
    table = pd.DataFrame({"rlnMicrographName": [f"{name}.mrc" for name in names], "rlnOpticsGroup": 1})
    write_micrographs(folder / "micrographs.star", MicrographTables(pd.DataFrame([values]), table, folder))
    return folder / "micrographs.star"


def test_each_micrograph_gets_its_ctf_and_its_plots(run_job: RunJob, micrographs: Path) -> None:
    done = run_job("ctf", {"input": micrographs}, plot_count=1)
    table = read_micrographs(done.out / "micrographs.star").micrographs
    mean = (table["rlnDefocusU"] + table["rlnDefocusV"]) / 2
    # The Cramer-Rao bound of these small micrographs is about 25 Angstrom.
    assert mean.to_numpy() == pytest.approx(list(DEFOCUS_ANGSTROM.values()), abs=100)
    assert (table["rlnCtfMaxResolution"] < 8).all() and (table["rlnCtfFigureOfMerit"] > 0.2).all()
    assert done.metrics["micrographs"] == 3
    assert not done.exceptions
    spectrum = mrcfile.read(done.out / table["rlnCtfImage"][0])
    assert spectrum.shape == (512, 512) and np.abs(spectrum).max() <= 1
    assert {path.name for path in done.job.plots.iterdir()} == {"ctf_a.png", "ctf_summary.png"}


def test_bad_micrographs_are_set_aside(run_job: RunJob, micrographs: Path) -> None:
    folder = micrographs.parent
    (folder / "b.mrc").write_bytes((folder / "b.mrc").read_bytes()[:20000])
    broken = micrograph(9000, 1)
    broken[5, 5] = np.nan
    write_mrc(folder / "c.mrc", broken, 1.5)
    done = run_job("ctf", {"input": micrographs}, plot_count=0)
    assert len(read_micrographs(done.out / "micrographs.star")) == 1
    reasons = {Path(item).name: reason for item, reason in done.exceptions.items()}
    assert reasons.keys() == {"b.mrc", "c.mrc"}
    assert "truncated" in reasons["b.mrc"] and "not finite" in reasons["c.mrc"]


def test_a_list_without_any_usable_micrograph_is_refused(run_job: RunJob, micrographs: Path) -> None:
    for name in DEFOCUS_ANGSTROM:
        (micrographs.parent / f"{name}.mrc").unlink()
    with pytest.raises(InputError, match="no micrograph of the list is there"):
        run_job("ctf", {"input": micrographs})


@pytest.mark.parametrize("pixel_size_angstrom", [0.0, 150.0])
def test_impossible_pixel_sizes_are_refused(
    run_job: RunJob, micrographs: Path, pixel_size_angstrom: float
) -> None:
    path = write_list(micrographs.parent, ["a"], rlnMicrographPixelSize=pixel_size_angstrom)
    with pytest.raises(InputError, match="pixel size"):
        run_job("ctf", {"input": path})


@pytest.mark.parametrize(
    "wrong",
    [
        {"defocus_min_angstrom": 30000.0, "defocus_max_angstrom": 20000.0},
        {"resolution_min_angstrom": 6.0, "resolution_max_angstrom": 10.0},
        {"phase_shift_min_deg": 90.0},
    ],
)
def test_ranges_must_be_ordered(run_job: RunJob, micrographs: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        run_job("ctf", {"input": micrographs}, **wrong)


def test_phase_shift_column_is_written_where_it_was_fitted(run_job: RunJob, micrographs: Path) -> None:
    done = run_job("ctf", {"input": micrographs}, phase_shift_max_deg=170.0, plot_count=0)
    table = read_micrographs(done.out / "micrographs.star").micrographs
    distance = (table["rlnPhaseShift"].to_numpy() + 90) % 180 - 90
    assert np.abs(distance).max() < 15
    plain = run_job("ctf", {"input": micrographs}, out="plain", plot_count=0)
    assert "rlnPhaseShift" not in read_micrographs(plain.out / "micrographs.star").micrographs


def test_finished_items_are_not_done_again(run_job: RunJob, micrographs: Path) -> None:
    class Killed(Exception):
        pass

    seen: list[int] = []
    stopped = run_job("ctf", {"input": micrographs}, plot_count=0).job

    def work(position: int) -> int:
        seen.append(position)
        if position == 2 and len(seen) < 4:
            raise Killed
        return position

    folder = stopped.checkpoints
    for path in (folder / "items").iterdir():
        path.unlink()
    names = list(DEFOCUS_ANGSTROM)
    with pytest.raises(Killed):
        process_items(stopped, names, work, lambda _, found: {"value": found})
    records = process_items(stopped, names, work, lambda _, found: {"value": found})
    assert [record["value"] for record in records.values()] == [0, 1, 2]
    # Two are in work at a time, so the one before the failure may be repeated, the first may not.
    assert seen.count(0) == 1 and seen.count(2) == 2


def test_hot_lines_do_not_move_the_defocus(run_job: RunJob, micrographs: Path) -> None:
    """Without the lines and with them: the sums of squares of the lines are 10^9 times those of the rings."""
    spoiled = micrograph(DEFOCUS_ANGSTROM["b"], 1)
    spoiled[100, :], spoiled[:, 200] = 1e6, -1e6
    write_mrc(micrographs.parent / "spoiled.mrc", spoiled, 1.5)
    done = run_job("ctf", {"input": write_list(micrographs.parent, ["b", "spoiled"])}, plot_count=0)
    table = read_micrographs(done.out / "micrographs.star").micrographs
    for label in ("rlnDefocusU", "rlnDefocusV"):
        assert table[label][1] == pytest.approx(table[label][0], abs=100)
    assert table["cryocloudIntensityDeviation"][1] == pytest.approx(
        table["cryocloudIntensityDeviation"][0], rel=0.01
    )
    assert done.metrics["outlier_pixels"] == 2 * 512 - 1
    assert "1 of 2 micrographs have lines" in done.job.warnings[0]
