"""The simulating jobs from their parameters to their files, and the comparison that closes the circle."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cryocloud.compute.context import JobCancelled, JobContext
from cryocloud.engine.alignment.volumes import VolumeAlignment, apply_alignment, poses_in_fixed_frame
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fsc
from cryocloud.engine.geometry import random_rotations
from cryocloud.engine.io.atomic_model import read_atomic_model, write_atomic_model
from cryocloud.engine.io.mrc import read_mrc, read_mrc_header, write_mrc
from cryocloud.engine.io.star import read_star, write_star
from cryocloud.engine.io.table_records import particle_set, with_poses
from cryocloud.engine.io.tables import read_particles, write_particles
from cryocloud.engine.simulate.density import density_map
from cryocloud.engine.simulate.protein import procedural_model

RunJob = Callable[..., Any]
PROCEDURAL = {"model": Path("procedural")}


SMALL = {
    "symmetry": "D2",
    "mass_kda": 40,
    "box_size_px": 48,
    "pixel_size_angstrom": 3,
    "resolution_angstrom": 6,
}


@pytest.fixture(scope="session")
def small_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Map of a D2 object of 40 kDa, 48 px of 3 A, as the job makes it, and its atoms beside it."""
    folder = tmp_path_factory.mktemp("object")
    model = procedural_model("D2", np.random.default_rng(0), mass_kda=40.0)
    volume = density_map(model, box_size_px=48, pixel_size_angstrom=3.0, resolution_angstrom=6.0, in_ice=True)
    write_mrc(folder / "map.mrc", volume.numpy(), 3.0)
    write_atomic_model(folder / "model.cif", replace(model, positions_angstrom=model.positions_angstrom + 72))
    return folder / "map.mrc"


def test_a_made_up_protein_becomes_a_map_with_its_atoms(run_job: RunJob, small_map: Path) -> None:
    out = run_job("simulate_map", PROCEDURAL, **SMALL).out
    volume, pixel_size = read_mrc(out / "map.mrc")
    assert np.array_equal(volume, read_mrc(small_map)[0])
    assert pixel_size == pytest.approx(3.0)
    atoms = read_atomic_model(out / "model.pdb")
    # Atoms lie on the density in the frame of the file: voxel i is at i * 3 A.
    x, y, z = np.round(atoms.positions_angstrom / 3).astype(int).T
    assert volume[z, y, x].mean() > 5 * volume.std()
    for plot in ("slices.png", "projections.png"):
        assert (out / "plots" / plot).stat().st_size > 1000


def test_the_box_and_the_full_band_are_chosen_when_not_given(run_job: RunJob) -> None:
    made = run_job("simulate_map", PROCEDURAL, symmetry="C2", mass_kda=20, pixel_size_angstrom=3)
    assert made.metrics["box_size_px"] * 3 == pytest.approx(1.3 * made.metrics["diameter_angstrom"], rel=0.1)


def test_ice_takes_contrast_away(run_job: RunJob) -> None:
    common = {"symmetry": "C2", "mass_kda": 20, "pixel_size_angstrom": 3, "box_size_px": 40}
    bare, in_ice = (
        read_mrc(run_job("simulate_map", PROCEDURAL, out=e, environment=e, **common).out / "map.mrc")[0]
        for e in ("vacuum", "ice")
    )
    assert in_ice.sum() < 0.7 * bare.sum()


def test_symmetry_of_a_file_is_found_or_taken_as_it_is(run_job: RunJob, small_map: Path) -> None:
    model = {"model": small_map.parent / "model.cif"}
    common = {"symmetry": "D2", "pixel_size_angstrom": 3, "box_size_px": 48, "resolution_angstrom": 6}
    found = run_job("simulate_map", model, out="Found", **common)
    volume, _ = read_mrc(found.out / "map.mrc")
    assert np.corrcoef(volume.ravel(), read_mrc(small_map)[0].ravel())[0, 1] > 0.999
    assert "equal chains" in found.job.decisions[0]["why"]
    # About the origin of the file, the corner of the box, the copies lie far apart.
    with pytest.raises(InputError, match="cannot hold"):
        run_job("simulate_map", model, out="Origin", align_symmetry="origin", **common)


def test_particles_are_written_with_their_truth(run_job: RunJob, small_map: Path) -> None:
    made = run_job("simulate_particles", {"map": small_map}, particles=40, junk_share=0.2, noise="colored")
    particles, truth = (read_particles(made.out / name) for name in ("particles.star", "truth.star"))
    assert "rlnAngleRot" not in particles.particles
    assert "rlnCtfBfactor" not in particles.particles
    assert len(particles) == len(truth) == made.metrics["particles"] == 40
    assert (truth.particles["cryocloudContent"] > 0).sum() == made.metrics["junk"]
    known = particle_set(truth)
    assert known.read_images(np.array([0, 39])).shape == (2, 48, 48)
    assert known.pixel_size_angstrom == 3.0
    assert json.loads((made.out / "truth.json").read_text())["parameters"]["snr"] == 0.1


def test_the_same_seed_gives_the_same_bytes(run_job: RunJob, small_map: Path) -> None:
    stacks = [
        (run_job("simulate_particles", {"map": small_map}, out=f"run{k}", seed=s, particles=12).out / "particles.mrcs")
        .read_bytes()[1024:]
        for k, s in enumerate((5, 5, 6))
    ]  # fmt: skip
    assert stacks[0] == stacks[1] != stacks[2]


MICROGRAPHS = {"micrographs": 3, "width_px": 200, "height_px": 180, "particles_per_micrograph": 12}


def test_micrographs_are_written_with_their_truth(run_job: RunJob, small_map: Path) -> None:
    made = run_job("simulate_micrographs", {"map": small_map}, **MICROGRAPHS)
    blocks = read_star(made.out / "truth.star")
    names = blocks["micrographs"]["rlnMicrographName"].tolist()
    assert names == [f"micrographs/mic_000{k}.mrc" for k in (1, 2, 3)]
    image, pixel_size = read_mrc(made.out / names[0])
    assert image.shape == (180, 200)
    assert pixel_size == pytest.approx(3.0)
    assert image.mean() == pytest.approx(40 * 9, rel=0.1)
    assert len(blocks["particles"]) == made.metrics["particles"]
    assert blocks["particles"]["rlnCoordinateX"].between(0, 199).all()
    assert len(json.loads((made.out / "truth.json").read_text())["micrographs"]) == 3


def test_movies_are_stacks_of_frames(run_job: RunJob, small_map: Path) -> None:
    made = run_job(
        "simulate_micrographs",
        {"map": small_map},
        **{**MICROGRAPHS, "micrographs": 1},
        frames=4,
        drift_angstrom=12,
    )
    header = read_mrc_header(made.out / "movies/movie_0001.mrcs")
    assert header.shape_zyx == (4, 180, 200)
    assert not header.is_volume
    motion = json.loads((made.out / "truth.json").read_text())["micrographs"][0]["motion"]
    assert len(motion["drift_px"]) == 4


def test_interrupted_micrographs_go_on_with_the_same_result(
    run_job: RunJob, small_map: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_job("simulate_micrographs", {"map": small_map}, out="Whole", **MICROGRAPHS)
    report = JobContext.progress

    def stop_after_the_second(self: JobContext, fraction: float, message: str = "") -> None:
        report(self, fraction, message)
        if message.endswith("0002.mrc"):
            raise JobCancelled

    with monkeypatch.context() as patched:
        patched.setattr(JobContext, "progress", stop_after_the_second)
        with pytest.raises(JobCancelled):
            run_job("simulate_micrographs", {"map": small_map}, out="Part", **MICROGRAPHS)
    first = whole.out.parent / "Part/micrographs/mic_0001.mrc"
    written = first.stat().st_mtime_ns
    resumed = run_job("simulate_micrographs", {"map": small_map}, out="Part", resumed=True, **MICROGRAPHS)
    assert first.stat().st_mtime_ns == written
    assert (resumed.out / "truth.star").read_text() == (whole.out / "truth.star").read_text()
    for name in ("mic_0001.mrc", "mic_0003.mrc"):
        one, other = (read_mrc(run.out / "micrographs" / name)[0] for run in (whole, resumed))
        assert np.array_equal(one, other)


def test_a_made_up_protein_can_be_imaged_directly(run_job: RunJob) -> None:
    made = run_job(
        "simulate_particles",
        {"map": Path("procedural")},
        particles=3,
        symmetry="C2",
        mass_kda=20,
        pixel_size_angstrom=3,
    )
    assert (made.out / "map.mrc").exists()


def test_a_pixel_size_that_contradicts_the_map_is_refused(run_job: RunJob, small_map: Path) -> None:
    with pytest.raises(InputError, match=r"has pixels of 3 Å, not 1\.5 Å"):
        run_job("simulate_particles", {"map": small_map}, pixel_size_angstrom=1.5)


def test_maps_with_holes_are_refused(run_job: RunJob, tmp_path: Path) -> None:
    write_mrc(tmp_path / "map.mrc", np.full((32, 32, 32), np.nan, np.float32), 2.0)
    with pytest.raises(InputError, match="not numbers"):
        run_job("simulate_particles", {"map": tmp_path / "map.mrc"})


def _refined(simulated: Path, small_map: Path, folder: Path) -> Path:
    """A result in a frame of its own: the truth turned, shifted and mirrored, with small errors in the poses."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(1)
    motion = VolumeAlignment(
        random_rotations(1, generator)[0], torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64), True, 0.0
    )
    volume, pixel_size = read_mrc(small_map)
    write_mrc(folder / "map.mrc", apply_alignment(torch.tensor(volume), motion).numpy(), pixel_size)
    tables = read_particles(simulated / "truth.star")
    known = particle_set(tables)
    rotation, shift = poses_in_fixed_frame(motion, known.rotation, known.shift_px)
    shift = shift + 0.1 * torch.randn(shift.shape, generator=generator, dtype=torch.float64)
    write_particles(folder / "particles.star", with_poses(tables, rotation, shift))
    return folder


def test_a_result_is_compared_with_its_truth(run_job: RunJob, small_map: Path, tmp_path: Path) -> None:
    simulated = run_job("simulate_particles", {"map": small_map}, out="Sim", particles=50).out
    refined = _refined(simulated, small_map, tmp_path / "Refine")
    inputs = {"input": refined, "truth": simulated / "truth.star", "map": small_map}
    compared = run_job("compare_truth", inputs, out="Compared", symmetry="D2")
    metrics = compared.metrics
    assert metrics["fsc_truth_0.5_angstrom"] < 6.3
    assert metrics["cc_20A"] > 0.99
    assert metrics["hand_flipped"] == 1
    assert metrics["particles_matched"] == 50
    assert metrics["median_pose_error_deg"] < 0.2
    # 0.1 px of error on each axis is 0.118 px in the median, 0.35 A.
    assert metrics["median_shift_error_angstrom"] == pytest.approx(0.35, abs=0.1)
    assert len(read_star(compared.out / "fsc.star")["fsc"]) == 25
    assert read_mrc(compared.out / "map_aligned.mrc")[0].shape == (48, 48, 48)
    assert (compared.out / "plots/pose_errors.png").exists()


def test_picks_are_compared_with_the_true_places(run_job: RunJob, small_map: Path, tmp_path: Path) -> None:
    simulated = run_job("simulate_micrographs", {"map": small_map}, out="Sim", **MICROGRAPHS).out
    blocks = read_star(simulated / "truth.star")
    true = blocks["particles"]
    picks = true[["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnOpticsGroup"]].iloc[3:].copy()
    picks["rlnCoordinateX"] += 2.0
    wrong = picks.iloc[:2].assign(rlnCoordinateX=-500.0)
    picks = pd.concat([picks, wrong], ignore_index=True)
    picks["rlnMicrographName"] = "elsewhere/" + picks["rlnMicrographName"].str.split("/").str[-1]
    write_star(tmp_path / "picks.star", {"optics": blocks["optics"], "particles": picks})
    inputs = {"input": tmp_path / "picks.star", "truth": simulated / "truth.star"}
    metrics = run_job("compare_truth", inputs, out="Compared", match_radius_angstrom=15).metrics
    n = len(true)
    assert metrics["particles_matched"] == n - 3
    assert metrics["recall"] == pytest.approx((n - 3) / n)
    assert metrics["precision"] == pytest.approx((n - 3) / (n - 1))
    margin = run_job(
        "compare_truth", inputs, out="Inner", match_radius_angstrom=15, edge_margin_angstrom=150
    ).metrics
    assert margin["true_particles"] < n


def test_nothing_to_compare_is_said_plainly(run_job: RunJob, small_map: Path) -> None:
    with pytest.raises(InputError, match="needs --map"):
        run_job("compare_truth", {"input": small_map})


def test_relion_makes_the_map_of_particles_and_truth(run_job: RunJob, small_map: Path, relion: None) -> None:
    out = run_job("simulate_particles", {"map": small_map}, particles=100, snr=1.0, b_factor_angstrom2=0).out
    command = ["relion_reconstruct", "--i", "truth.star", "--o", "map.mrc", "--ctf", "--sym", "D2"]
    subprocess.run(command, cwd=out, check=True, capture_output=True)
    volumes = [torch.tensor(read_mrc(path)[0]) for path in (out / "map.mrc", small_map)]
    # 400 views with the symmetry: a wrong sign of pose, shift or CTF would leave nothing beyond the first shells.
    assert float(fsc(*volumes)[1:16].min()) > 0.9
