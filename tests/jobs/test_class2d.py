"""The 2D classification job: files for others, resume, plain refusals."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.geometry import random_rotations, rotation_from_euler
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import read_particles

PIXEL_ANGSTROM, BOX_PX, N = 4.0, 40, 200
OPTIONS = {
    "classes": 6,
    "mask_diameter_angstrom": 120.0,
    "max_resolution_angstrom": 10.0,
    "online_updates": 5,
    "full_passes": 1,
}


@pytest.fixture
def particles_file(blob_volume: Any, simulated_particles: Any, write_particle_files: Any) -> Path:
    """200 particles of three views; every fifth box is empty."""
    generator = torch.Generator().manual_seed(2)
    view = torch.arange(N) % 3
    zero = torch.zeros(N, dtype=torch.float64)
    psi_deg = 360 * torch.rand(N, generator=generator, dtype=torch.float64)
    rotation = random_rotations(3, generator)[view] @ rotation_from_euler(zero, zero, psi_deg)
    sim = simulated_particles(
        blob_volume(box_size_px=BOX_PX), N, rotation=rotation, snr=0.2, pixel_size_angstrom=PIXEL_ANGSTROM
    )
    images = sim.images.numpy().copy()
    images[4::5] -= sim.clean.numpy()[4::5]
    particles = replace(sim.particles, read_images=lambda rows: images[rows])
    return write_particle_files(particles, trueView=np.where(np.arange(N) % 5 == 4, -1, view.numpy()))


def test_files_and_metrics(run_job: Callable[..., Any], particles_file: Path) -> None:
    result = run_job("class2d", {"input": particles_file}, **OPTIONS)
    averages, pixel_angstrom = read_mrc(result.out / "classes.mrcs")
    # 16 rings up to 10 A need 34 px; 36 is the next product of 2, 3 and 5.
    assert averages.shape == (6, 36, 36)
    # Headers hold the pixel size to five decimals.
    assert pixel_angstrom == pytest.approx(PIXEL_ANGSTROM * BOX_PX / 36, abs=1e-5)
    classes = read_star(result.out / "classes.star")["model_classes"]
    assert list(classes["rlnReferenceImage"])[:2] == ["000001@classes.mrcs", "000002@classes.mrcs"]
    assert classes["rlnClassDistribution"].sum() == pytest.approx(1, abs=1e-4)
    assert classes["rlnClassScore"].between(0, 1).all()
    assert (np.diff(classes["cryocloudClassParticles"]) <= 0).all()
    rows = read_particles(result.out / "particles.star").particles
    counts = rows["rlnClassNumber"].value_counts()
    assert [counts.get(k, 0) for k in range(1, 7)] == list(classes["cryocloudClassParticles"])
    assert (rows["rlnAngleRot"] == 0).all()
    assert (rows["rlnAngleTilt"] == 0).all()
    assert rows["rlnAnglePsi"].std() > 50
    # Simulated shifts reach 2 px of 4 A.
    assert rows[["rlnOriginXAngst", "rlnOriginYAngst"]].abs().to_numpy().mean() < 8
    assert result.metrics["particles"] == N
    assert result.metrics["classes_used"] >= 4
    for plot in ("classes.png", "class_history.png", "effective_classes.png", "class_resolution.png"):
        assert (result.out / "plots" / plot).stat().st_size > 2000


def test_pictures_stay_readable_from_the_new_folder(
    run_job: Callable[..., Any], particles_file: Path
) -> None:
    result = run_job("class2d", {"input": particles_file}, **OPTIONS)
    name = read_particles(result.out / "particles.star").particles["rlnImageName"].iloc[0]
    assert (result.out / name.split("@")[1]).resolve() == particles_file.with_name("particles.mrcs").resolve()


def test_interrupted_job_ends_as_an_uninterrupted_one(
    run_job: Callable[..., Any], particles_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"input": particles_file}
    whole = run_job("class2d", inputs, out="whole", **OPTIONS)
    module = importlib.import_module("cryocloud.jobs.class2d")
    save = module.save_checkpoint

    def save_and_die(folder: Path, step: int, *content: Any) -> None:
        save(folder, step, *content)
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_job("class2d", inputs, out="broken", **OPTIONS)
    monkeypatch.setattr(module, "save_checkpoint", save)
    resumed = run_job("class2d", inputs, out="broken", resumed=True, **OPTIONS)
    assert np.array_equal(read_mrc(whole.out / "classes.mrcs")[0], read_mrc(resumed.out / "classes.mrcs")[0])
    for table, block in (("particles.star", "particles"), ("classes.star", "model_classes")):
        pd.testing.assert_frame_equal(
            read_star(whole.out / table)[block], read_star(resumed.out / table)[block]
        )
    assert json.loads((whole.out / "metrics.json").read_text()) == resumed.metrics


def test_sizes_that_were_not_given_are_decided_and_explained(
    run_job: Callable[..., Any], particles_file: Path
) -> None:
    options = {name: value for name, value in OPTIONS.items() if name != "mask_diameter_angstrom"}
    result = run_job("class2d", {"input": particles_file}, **options | {"online_updates": 1})
    assert {d["what"]: d["value"] for d in result.job.decisions} == {
        "mask diameter": "144 Å",
        "shift range": "14 Å",
    }


def test_too_many_classes_are_refused(run_job: Callable[..., Any], particles_file: Path) -> None:
    with pytest.raises(InputError, match="200 particles are too few for 150 classes"):
        run_job("class2d", {"input": particles_file}, **OPTIONS | {"classes": 150})
