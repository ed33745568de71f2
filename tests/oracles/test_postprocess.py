"""FSC curves, B-factor and sharpening against relion_postprocess."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryocloud.engine.fourier import fsc, low_pass, resolution_angstrom
from cryocloud.engine.io.mrc import read_mrc, write_mrc
from cryocloud.engine.io.star import read_star
from cryocloud.engine.masking import MaskShape, correlate_half_maps, mask_from_map
from cryocloud.engine.postprocess import guinier_plot, sharpen

BOX, PIXEL_SIZE = 64, 1.5
DRAWS = 4


@pytest.fixture(scope="module")
def half_maps(blobs):
    """A sparse object that fills half of the box's width, so that its mask holds many voxels."""
    generator = torch.Generator().manual_seed(3)
    volume = replace(blobs, center_px=blobs.center_px * 2.0).volume(BOX)
    noise = 0.1 * torch.randn(2, BOX, BOX, BOX, generator=generator)
    return volume + noise[0], volume + noise[1]


@pytest.fixture(scope="module")
def mask(half_maps):
    return mask_from_map(sum(half_maps), PIXEL_SIZE, MaskShape(extension_angstrom=6.0))


@pytest.fixture
def run_postprocess(half_maps, mask, run_relion, tmp_path):
    """Runs relion_postprocess on the half maps with our mask; returns its STAR tables."""
    write_mrc(tmp_path / "mask.mrc", mask.numpy(), PIXEL_SIZE)
    for number, half in enumerate(half_maps, start=1):
        write_mrc(tmp_path / f"half{number}.mrc", half.numpy(), PIXEL_SIZE)
    # Without ghostscript the program puts an empty logfile.pdf into a folder that it expects to be there.
    (tmp_path / "theirs").mkdir()

    def run(seed, *more):
        maps = ("--i", "half1.mrc", "--i2", "half2.mrc", "--mask", "mask.mrc", "--angpix", PIXEL_SIZE)
        options = ("--auto_bfac", "--autob_lowres", 10, "--random_seed", seed, "--o", "theirs", *more)
        run_relion("relion_postprocess", *maps, *options)
        return read_star(tmp_path / "theirs.star")

    return run


def column(table, label):
    return torch.from_numpy(table[label].to_numpy(dtype=float).copy())


def test_fsc_curves_agree_with_relion_postprocess(half_maps, mask, run_postprocess):
    """Issue's bar: 0.02 a shell.

    Unmasked and masked curves are functions of the maps: equal to the printed digits. The other two contain random
    phases, and one draw scatters by 1 / sqrt(independent voxels in the shell), so both sides are averaged.
    """
    tables = [run_postprocess(seed)["fsc"] for seed in range(1, DRAWS + 1)]
    ours = correlate_half_maps(*half_maps, mask, torch.Generator().manual_seed(0), draws=3 * DRAWS)
    prefix = "rlnFourierShellCorrelation"
    assert torch.allclose(ours.unmasked[1:], column(tables[0], prefix + "UnmaskedMaps")[1:], atol=1e-4)
    assert torch.allclose(ours.masked[1:], column(tables[0], prefix + "MaskedMaps")[1:], atol=1e-4)
    corrected = torch.stack([column(t, prefix + "Corrected") for t in tables]).mean(0)
    resolved = corrected > 0.143
    assert (ours.corrected - corrected)[resolved].abs().max() < 0.02
    randomized = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
    their_randomized = torch.stack([column(t, randomized) for t in tables]).mean(0)
    assert abs(float((ours.phase_randomized - their_randomized)[resolved].mean())) < 0.02


def test_b_factor_and_map_agree_with_relion_postprocess(half_maps, run_postprocess, tmp_path):
    """From RELION's own FSC and with its range of the fit, which goes on to Nyquist unless told otherwise."""
    highest_angstrom = 4.0
    tables = run_postprocess(1, "--autob_highres", highest_angstrom)
    curve = column(tables["fsc"], "rlnFourierShellCorrelationCorrected")
    resolution = resolution_angstrom(curve, 0.143, BOX, PIXEL_SIZE)
    theirs = tables["general"].iloc[0]
    # RELION names the last whole shell, at most one shell before our interpolated one.
    shell_angstrom = resolution**2 / (BOX * PIXEL_SIZE)
    assert 0 <= theirs["rlnFinalResolution"] - resolution <= shell_angstrom
    # RELION measures the amplitudes of the unmasked mean.
    mean = (half_maps[0] + half_maps[1]) / 2
    guinier = guinier_plot(mean, curve, PIXEL_SIZE, resolution_angstrom=highest_angstrom)
    assert guinier.b_factor_angstrom2 == pytest.approx(theirs["rlnBfactorUsedForSharpening"], rel=0.01)
    ours = sharpen(
        mean,
        curve,
        PIXEL_SIZE,
        b_factor_angstrom2=float(theirs["rlnBfactorUsedForSharpening"]),
        low_pass_angstrom=2 * PIXEL_SIZE,
    )
    their_map = torch.from_numpy(read_mrc(tmp_path / "theirs.mrc")[0].copy())
    last = int(BOX * PIXEL_SIZE / resolution)
    assert fsc(ours, their_map)[:last].min() > 0.9999
    ours, their_map = (low_pass(v, resolution, PIXEL_SIZE) for v in (ours, their_map))
    assert float((ours * their_map).sum() / (ours**2).sum()) == pytest.approx(1, abs=0.01)
