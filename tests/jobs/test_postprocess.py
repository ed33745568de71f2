"""The post-processing job on half maps whose truth is known, and its complaints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fsc, resolution_angstrom
from cryocloud.engine.io.mrc import read_mrc, write_mrc
from cryocloud.engine.io.star import read_star

BOX, PIXEL_SIZE = 48, 1.5


@pytest.fixture
def refinement(blobs, tmp_path):
    """A folder with two noisy maps of the blob object."""
    folder = tmp_path / "Refine"
    folder.mkdir()
    generator = torch.Generator().manual_seed(3)
    for number in (1, 2):
        half = blobs.volume(BOX) + 0.2 * torch.randn(BOX, BOX, BOX, generator=generator)
        write_mrc(folder / f"half{number}.mrc", half.numpy(), PIXEL_SIZE)
    return folder


def test_writes_mask_map_and_fsc(run_job, refinement, blobs):
    done = run_job("postprocess", {"input": refinement})
    mask, pixel_size = read_mrc(done.out / "mask.mrc")
    assert pixel_size == pytest.approx(PIXEL_SIZE)
    assert (mask.min(), mask.max()) == (0, 1)
    sharpened = torch.tensor(read_mrc(done.out / "map_sharpened.mrc")[0])
    table = read_star(done.out / "fsc.star")["fsc"]
    assert {
        "rlnFourierShellCorrelationCorrected",
        "rlnFourierShellCorrelationUnmaskedMaps",
        "rlnFourierShellCorrelationMaskedMaps",
        "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    } <= set(table.columns)
    metrics = done.metrics
    curve = torch.tensor(table["rlnFourierShellCorrelationCorrected"].to_numpy())
    reported = resolution_angstrom(curve, 0.143, BOX, PIXEL_SIZE)
    assert metrics["resolution_angstrom"] == pytest.approx(reported, rel=1e-3)
    assert metrics["resolution_angstrom"] < metrics["resolution_unmasked_angstrom"]
    # The map agrees with the object, at FSC 0.5, as far as the half maps promise at FSC 0.143.
    truth = fsc(sharpened * torch.tensor(mask), blobs.volume(BOX) * torch.tensor(mask))
    assert resolution_angstrom(truth, 0.5, BOX, PIXEL_SIZE) == pytest.approx(reported, rel=0.1)
    # The blobs of 1.2 px fall off with 8 pi^2 (1.2 px)^2 = 256 Angstrom^2.
    assert metrics["b_factor_angstrom2"] == pytest.approx(-256, rel=0.2)
    assert metrics["limited_by_pixel"] == 0 and done.job.warnings == []
    for name in ("fsc", "guinier", "slices", "mask", "directional_fsc"):
        assert (done.out / "plots" / f"{name}.png").stat().st_size > 2000


def test_takes_a_mask_and_a_b_factor(run_job, refinement, tmp_path):
    ball = np.ones((BOX, BOX, BOX), np.float32)
    write_mrc(tmp_path / "ones.mrc", ball, PIXEL_SIZE)
    done = run_job(
        "postprocess",
        {"input": refinement, "mask": tmp_path / "ones.mrc"},
        b_factor_angstrom2=-50,
        low_pass_angstrom=8,
    )
    metrics = done.metrics
    assert metrics["b_factor_angstrom2"] == -50
    assert metrics["resolution_masked_angstrom"] == pytest.approx(metrics["resolution_unmasked_angstrom"])
    assert metrics["mask_fraction"] == 1
    spectrum = np.abs(np.fft.rfftn(read_mrc(done.out / "map_sharpened.mrc")[0]))
    assert spectrum[0, 0, round(BOX * PIXEL_SIZE / 8) + 3 :].max() < 1e-4 * spectrum.max()


def test_a_resolution_of_two_pixels_is_said_to_be_the_pixels(run_job, refinement, tmp_path, capsys):
    """Halves that agree everywhere, as those of copies do."""
    generator = torch.Generator().manual_seed(5)
    common = torch.randn(BOX, BOX, BOX, generator=generator)
    for number in (1, 2):
        half = common + 0.3 * torch.randn(BOX, BOX, BOX, generator=generator)
        write_mrc(refinement / f"half{number}.mrc", half.numpy(), PIXEL_SIZE)
    write_mrc(tmp_path / "ones.mrc", np.ones((BOX, BOX, BOX), np.float32), PIXEL_SIZE)
    done = run_job("postprocess", {"input": refinement, "mask": tmp_path / "ones.mrc"})
    assert done.metrics["resolution_angstrom"] == pytest.approx(2 * PIXEL_SIZE, rel=0.05)
    assert done.metrics["limited_by_pixel"] == 1
    assert "is limited by the pixel" in done.job.warnings[0]
    assert "Å (corrected, limited by the pixel)" in capsys.readouterr().out


def test_reports_how_evenly_views_cover_space(run_job, refinement, simulated_star):
    done = run_job("postprocess", {"input": refinement})
    assert done.metrics["sampling_compensation_factor"] == pytest.approx(8 / np.pi**2, abs=0.05)


@pytest.fixture
def simulated_star(refinement):
    """Poses around one axis: side views only."""
    rng = np.random.default_rng(0)
    rows = "\n".join(
        f"{i + 1}@p.mrcs 1 {rng.uniform(0, 360):.3f} 90 {rng.uniform(0, 360):.3f}" for i in range(3000)
    )
    (refinement / "particles.star").write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n1 1.5\n\ndata_particles\n\nloop_\n"
        f"_rlnImageName\n_rlnOpticsGroup\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n{rows}\n"
    )


def test_a_missing_half_map_is_named(run_job, refinement):
    (refinement / "half2.mrc").unlink()
    with pytest.raises(InputError, match=r"half2\.mrc: no such file"):
        run_job("postprocess", {"input": refinement})


def test_half_maps_of_two_sizes_are_refused(run_job, refinement):
    write_mrc(refinement / "half2.mrc", np.zeros((32, 32, 32), np.float32), PIXEL_SIZE)
    with pytest.raises(InputError, match="sizes must agree"):
        run_job("postprocess", {"input": refinement})


def test_half_maps_of_two_pixel_sizes_are_refused(run_job, refinement):
    write_mrc(refinement / "half2.mrc", read_mrc(refinement / "half2.mrc")[0], 1.7)
    with pytest.raises(InputError, match="pixel sizes of the half maps differ"):
        run_job("postprocess", {"input": refinement})


def test_voxels_that_are_not_finite_are_refused(run_job, refinement):
    volume = read_mrc(refinement / "half1.mrc")[0].copy()
    volume[3, 4, 5] = np.nan
    write_mrc(refinement / "half1.mrc", volume, PIXEL_SIZE)
    with pytest.raises(InputError, match="1 voxels are not finite"):
        run_job("postprocess", {"input": refinement})


def test_the_same_map_twice_is_refused(run_job, refinement):
    write_mrc(refinement / "half2.mrc", read_mrc(refinement / "half1.mrc")[0], PIXEL_SIZE)
    with pytest.raises(InputError, match="same map"):
        run_job("postprocess", {"input": refinement})


def test_a_mask_that_is_no_mask_is_refused(run_job, refinement, tmp_path):
    write_mrc(tmp_path / "map.mrc", read_mrc(refinement / "half1.mrc")[0] * 5, PIXEL_SIZE)
    with pytest.raises(InputError, match="a mask goes from 0"):
        run_job("postprocess", {"input": refinement, "mask": tmp_path / "map.mrc"})
