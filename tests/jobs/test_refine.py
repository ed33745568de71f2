"""The refinement job: files and metrics for others, resume, and plain refusals."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import low_pass
from cryocloud.engine.io.mrc import read_mrc, write_mrc
from cryocloud.engine.io.star import read_star
from cryocloud.engine.io.tables import read_particles

PIXEL_ANGSTROM, BOX_PX, N = 4.0, 32, 120


@pytest.fixture
def particle_files(
    tmp_path: Path, blob_volume, simulated_particles, write_particle_files
) -> tuple[Path, Path]:  # type: ignore[no-untyped-def]
    """A particle STAR with its stack, and a start map on another sampling and gray scale."""
    volume = blob_volume("D2", box_size_px=BOX_PX)
    simulated = simulated_particles(volume, N, snr=0.2, pixel_size_angstrom=PIXEL_ANGSTROM)
    reference = low_pass(volume, 24.0, PIXEL_ANGSTROM)
    write_mrc(tmp_path / "start.mrc", 1000 * reference.numpy(), PIXEL_ANGSTROM)
    return write_particle_files(simulated.particles, myOwnColumn=np.arange(N)), tmp_path / "start.mrc"


OPTIONS = {"symmetry": "D2", "mask_diameter_angstrom": 110.0, "start_resolution_angstrom": 24.0}


def test_files_and_metrics(run_job, particle_files) -> None:  # type: ignore[no-untyped-def]
    particles, reference = particle_files
    result = run_job("refine", {"input": particles, "reference": reference}, **OPTIONS)
    refined = read_particles(result.out / "particles.star").particles
    assert list(refined["myOwnColumn"]) == list(range(N))
    assert set(refined["rlnRandomSubset"]) == {1, 2}
    assert {"rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"} <= set(
        refined
    )
    for name in ("half1.mrc", "half2.mrc", "map.mrc"):
        volume, pixel = read_mrc(result.out / name)
        assert volume.shape == (BOX_PX,) * 3
        assert pixel == pytest.approx(PIXEL_ANGSTROM)
    curve = read_star(result.out / "fsc.star")["fsc"]["rlnFourierShellCorrelationUnmaskedMaps"]
    assert curve.iloc[1] > 0.8
    assert result.metrics["resolution_angstrom"] < 24.0
    assert result.metrics["particles"] == N
    assert len(read_star(result.out / "micrograph_envelopes.star")["model_groups"]) == 3
    for plot in ("fsc.png", "slices.png", "orientations.png", "envelopes.png"):
        assert (result.out / "plots" / plot).stat().st_size > 2000


def test_interrupted_job_ends_as_an_uninterrupted_one(  # type: ignore[no-untyped-def]
    run_job, particle_files, monkeypatch: pytest.MonkeyPatch
) -> None:
    particles, reference = particle_files
    inputs = {"input": particles, "reference": reference}
    whole = run_job("refine", inputs, out="whole", **OPTIONS)
    module = importlib.import_module("cryocloud.jobs.refine")
    save = module.save_checkpoint

    def save_and_die(folder, step, *content):  # type: ignore[no-untyped-def]
        save(folder, step, *content)
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_job("refine", inputs, out="broken", **OPTIONS)
    monkeypatch.setattr(module, "save_checkpoint", save)
    resumed = run_job("refine", inputs, out="broken", resumed=True, **OPTIONS)
    for name in ("half1.mrc", "half2.mrc", "map.mrc"):
        assert np.array_equal(read_mrc(whole.out / name)[0], read_mrc(resumed.out / name)[0])
    assert json.loads((whole.out / "metrics.json").read_text()) == resumed.metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [({"symmetry": "Q7"}, "Q7"), ({"symmetry": "C0"}, "C0")],
)
def test_unknown_symmetry_is_refused(run_job, particle_files, change, message) -> None:  # type: ignore[no-untyped-def]
    particles, reference = particle_files
    with pytest.raises(InputError, match=message):
        run_job("refine", {"input": particles, "reference": reference}, **{**OPTIONS, **change})


def test_a_flat_reference_is_refused(run_job, particle_files, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    particles, _ = particle_files
    write_mrc(tmp_path / "flat.mrc", np.zeros((BOX_PX,) * 3, np.float32), PIXEL_ANGSTROM)
    with pytest.raises(InputError, match="flat"):
        run_job("refine", {"input": particles, "reference": tmp_path / "flat.mrc"}, **OPTIONS)


def test_a_map_that_is_no_cube_is_refused(run_job, particle_files, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    particles, _ = particle_files
    write_mrc(tmp_path / "slab.mrc", np.ones((8, BOX_PX, BOX_PX), np.float32), PIXEL_ANGSTROM)
    with pytest.raises(InputError, match="cube"):
        run_job("refine", {"input": particles, "reference": tmp_path / "slab.mrc"}, **OPTIONS)
