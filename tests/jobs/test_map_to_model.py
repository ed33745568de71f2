"""Map against model through the job: pose, FSC and pixel size of maps whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import low_pass
from cryocloud.engine.geometry import random_rotations
from cryocloud.engine.io.mrc import read_mrc, write_mrc
from cryocloud.engine.io.star import read_star

BOX, PIXEL_SIZE, TRUE_SCALE = 40, 2.0, 1.02


def pdb_line(number, xyz):
    x, y, z = xyz
    return f"ATOM  {number:5d}  CA  ALA A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 60.00           C"


@pytest.fixture
def model_px(blobs):
    """Positions in nominal pixels, centered, spread over 13 px."""
    center = 1.3 * blobs.center_px
    return center - center.mean(0)


@pytest.fixture
def map_file(blobs, model_px, tmp_path):
    """The model turned and shifted, seen with a pixel 2 % larger than the header says, with noise."""
    turn = random_rotations(1, torch.Generator().manual_seed(4))[0]
    shift = torch.tensor([1.0, -1.5, 0.5], dtype=torch.float64)
    seen = replace(
        blobs, center_px=model_px @ turn.T / TRUE_SCALE + shift, height=torch.ones_like(blobs.height)
    )
    noise = 0.1 * torch.randn(BOX, BOX, BOX, generator=torch.Generator().manual_seed(1))
    write_mrc(tmp_path / "map.mrc", (seen.volume(BOX) + noise).numpy(), PIXEL_SIZE)
    return tmp_path / "map.mrc"


@pytest.fixture
def model_file(model_px, tmp_path):
    path = tmp_path / "model.pdb"
    # Anywhere in its own frame.
    lines = [pdb_line(i + 1, PIXEL_SIZE * xyz + 50) for i, xyz in enumerate(model_px.numpy())]
    path.write_text("\n".join([*lines, "END", ""]))
    return path


def test_finds_pose_fsc_and_pixel_size(run_job, map_file, model_file):
    done = run_job("map_to_model", {"map": map_file, "model": model_file}, search_hand=False)
    metrics = done.metrics
    size, error = metrics["pixel_size_calibrated_angstrom"], metrics["pixel_size_error_angstrom"]
    assert size == pytest.approx(TRUE_SCALE * PIXEL_SIZE, abs=max(3 * error, 0.004))
    assert metrics["fsc_0_5_masked_angstrom"] < 8.0
    assert metrics["mirrored"] == 0
    blocks = read_star(done.out / "fsc.star")
    assert blocks.keys() == {"fsc_nominal", "fsc_calibrated"}
    fine = slice(8, 14)
    nominal, calibrated = (b["rlnFourierShellCorrelationUnmaskedMaps"][fine].mean() for b in blocks.values())
    assert calibrated > nominal
    smooth = [
        low_pass(torch.tensor(read_mrc(path)[0]), 10.0, PIXEL_SIZE).flatten()
        for path in (map_file, done.out / "model_placed.mrc")
    ]
    assert torch.corrcoef(torch.stack(smooth))[0, 1] > 0.9
    for name in ("fsc", "pixel_size", "slices"):
        assert (done.out / "plots" / f"{name}.png").is_file()


def test_a_map_of_known_size_can_be_the_model(run_job, map_file, blobs, model_px, tmp_path):
    """In another box and pixel size than the map."""
    sharp = replace(blobs, center_px=model_px * 1.25, width_px=1.5, height=torch.ones_like(blobs.height))
    write_mrc(tmp_path / "reference.mrc", sharp.volume(56).numpy(), PIXEL_SIZE / 1.25)
    done = run_job("map_to_model", {"map": map_file, "model": tmp_path / "reference.mrc"}, search_hand=False)
    assert done.metrics["pixel_size_calibrated_angstrom"] == pytest.approx(TRUE_SCALE * PIXEL_SIZE, abs=0.01)


def test_noise_gives_no_pixel_size_but_an_fsc(run_job, model_file, tmp_path):
    """Agreement by chance has its top anywhere: what is reported must then carry an error as large."""
    noise = np.random.default_rng(2).normal(size=(BOX, BOX, BOX)).astype(np.float32)
    write_mrc(tmp_path / "noise.mrc", noise, PIXEL_SIZE)
    done = run_job("map_to_model", {"map": tmp_path / "noise.mrc", "model": model_file}, search_hand=False)
    assert done.metrics["fsc_0_5_angstrom"] > 20
    if "pixel_size_error_angstrom" in done.metrics:
        assert done.metrics["pixel_size_error_angstrom"] > 0.003
    else:
        assert any(d["what"] == "pixel size" for d in done.job.decisions)


def test_a_model_larger_than_the_box_is_refused(run_job, model_file, tmp_path):
    write_mrc(tmp_path / "small.mrc", np.ones((16, 16, 16), np.float32), PIXEL_SIZE)
    with pytest.raises(InputError, match="cannot hold a model"):
        run_job("map_to_model", {"map": tmp_path / "small.mrc", "model": model_file})


def test_an_empty_map_is_refused(run_job, model_file, tmp_path):
    write_mrc(tmp_path / "empty.mrc", np.zeros((BOX, BOX, BOX), np.float32), PIXEL_SIZE)
    with pytest.raises(InputError, match="holds no density"):
        run_job("map_to_model", {"map": tmp_path / "empty.mrc", "model": model_file})
