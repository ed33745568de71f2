"""The ab-initio job: files and a verdict for others, resume, plain refusals."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.io.mrc import read_mrc
from cryocloud.engine.io.tables import read_particles
from cryocloud.engine.records.particle_set import ParticleSet

PIXEL_ANGSTROM, BOX_PX, N = 5.0, 28, 240
OPTIONS = {
    "symmetry": "D2",
    "mask_diameter_angstrom": 110.0,
    "last_resolution_angstrom": 16.0,
    "updates": 10,
    "passes": 2,
    "first_batch": 40,
    "last_batch": 60,
    "max_starts": 2,
}


@pytest.fixture
def particles(blob_volume: Any, simulated_particles: Any) -> ParticleSet:
    volume = blob_volume("D2", box_size_px=BOX_PX)
    result: ParticleSet = simulated_particles(
        volume, N, snr=0.5, pixel_size_angstrom=PIXEL_ANGSTROM, max_shift_px=1.0
    ).particles
    return result


def test_files_and_verdict(run_job: Callable[..., Any], write_particle_files: Any, particles: Any) -> None:
    star = write_particle_files(particles, myOwnColumn=np.arange(N))
    result = run_job("abinitio", {"input": star}, **OPTIONS)
    volume, pixel = read_mrc(result.out / "volume_class1.mrc")
    assert volume.shape == (BOX_PX,) * 3
    assert pixel == pytest.approx(PIXEL_ANGSTROM)
    rows = read_particles(result.out / "particles.star").particles
    assert list(rows["myOwnColumn"]) == list(range(N))
    assert (rows["rlnClassNumber"] == 1).all()
    assert rows["rlnAngleTilt"].between(0, 180).all()
    assert rows["rlnAngleTilt"].std() > 20
    trust = json.loads((result.out / "trust.json").read_text())
    assert trust["trusted"] == bool(result.metrics["trusted"]) == (not trust["reasons"])
    assert result.metrics["starts"] == 2
    assert result.metrics["particles_class1"] == result.metrics["particles"] == N
    for plot in ("slices_class1.png", "agreement.png"):
        assert (result.out / "plots" / plot).stat().st_size > 2000


def test_noise_is_not_trusted(run_job: Callable[..., Any], write_particle_files: Any, particles: Any) -> None:
    noise = torch.randn(N, BOX_PX, BOX_PX, generator=torch.Generator().manual_seed(4)).numpy()
    star = write_particle_files(replace(particles, read_images=lambda rows: noise[rows]))
    result = run_job("abinitio", {"input": star}, **OPTIONS)
    assert result.metrics["trusted"] == 0
    assert result.metrics["seed_agreement_cc"] < 0.7
    assert json.loads((result.out / "trust.json").read_text())["reasons"]


@pytest.mark.parametrize("dies_after", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_interrupted_job_ends_as_an_uninterrupted_one(
    run_job: Callable[..., Any],
    write_particle_files: Any,
    particles: Any,
    monkeypatch: pytest.MonkeyPatch,
    dies_after: int,
) -> None:
    """Killed in the second start, and in the refinement."""
    inputs = {"input": write_particle_files(particles)}
    whole = run_job("abinitio", inputs, out="whole", **OPTIONS)
    module = importlib.import_module("cryocloud.jobs.abinitio")
    save, saved = module.save_checkpoint, []

    def save_and_die(folder: Path, step: int, *content: Any) -> None:
        save(folder, step, *content)
        saved.append(step)
        if len(saved) == dies_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_job("abinitio", inputs, out="broken", **OPTIONS)
    monkeypatch.setattr(module, "save_checkpoint", save)
    resumed = run_job("abinitio", inputs, out="broken", resumed=True, **OPTIONS)
    volumes = [read_mrc(run.out / "volume_class1.mrc")[0] for run in (whole, resumed)]
    assert np.array_equal(*volumes)
    assert whole.metrics == resumed.metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symmetry": "X3"}, "X3"),
        ({"mask_diameter_angstrom": 500.0}, "500 Å is wider than the box of 140 Å"),
        ({"last_resolution_angstrom": 8.0}, "hold no detail of 8 Å"),
        ({"classes": 9}, "too few for 9 map"),
    ],
)
def test_impossible_choices_are_refused(
    run_job: Callable[..., Any], write_particle_files: Any, particles: Any, change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_job("abinitio", {"input": write_particle_files(particles)}, **{**OPTIONS, **change})


def test_blank_images_are_refused(
    run_job: Callable[..., Any], write_particle_files: Any, particles: Any
) -> None:
    blank = replace(particles, read_images=lambda rows: np.zeros((len(rows), BOX_PX, BOX_PX), np.float32))
    with pytest.raises(InputError, match="blank"):
        run_job("abinitio", {"input": write_particle_files(blank)}, **OPTIONS)
