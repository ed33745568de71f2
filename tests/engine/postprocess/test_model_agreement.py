"""Map against model: placement, FSC and the map's true pixel size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cryocloud.engine.alignment.volumes import VolumeAlignment, align_volumes, apply_alignment
from cryocloud.engine.errors import InputError
from cryocloud.engine.fourier import fsc
from cryocloud.engine.geometry import random_rotations
from cryocloud.engine.postprocess.model_agreement import fit_magnification, model_fsc, place_model

BOX, PIXEL_SIZE = 40, 2.0


@pytest.fixture
def model(blobs):
    """The object, a bit larger and centered, so that scale and shift do not mix."""
    center = blobs.center_px - (blobs.center_px * blobs.height[:, None]).sum(0) / blobs.height.sum()
    return replace(blobs, center_px=1.2 * center)


def seen_map(model, alignment, true_scale, noise=0.0):
    """What a microscope whose true pixel is ``true_scale`` nominal pixels shows of the model: it looks smaller."""
    turned = model.rotated(alignment.rotation)
    seen = replace(
        turned,
        center_px=turned.center_px / true_scale + alignment.shift_px,
        width_px=turned.width_px / true_scale,
    )
    generator = torch.Generator().manual_seed(0)
    return seen.volume(BOX) + noise * torch.randn(BOX, BOX, BOX, generator=generator)


@pytest.fixture
def alignment():
    rotation = random_rotations(1, torch.Generator().manual_seed(4))[0]
    return VolumeAlignment(rotation, torch.tensor([1.3, -0.7, 2.2], dtype=torch.float64), False, 1.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_placing_equals_applying_the_alignment(model, alignment, mirrored):
    alignment = replace(alignment, mirrored=mirrored)
    volume = model.volume(BOX)
    placed = place_model(volume, alignment).volume()
    applied = apply_alignment(volume, alignment)
    applied = applied - applied.mean()
    assert float((placed - applied).norm() / applied.norm()) < 1e-3


def test_fsc_with_the_model_is_one_where_there_is_no_noise(model, alignment):
    curve = model_fsc(seen_map(model, alignment, 1.0), place_model(model.volume(BOX), alignment))
    assert curve[: BOX // 3].min() > 0.999


def test_fsc_with_the_model_equals_that_of_maps(model, alignment):
    volume = seen_map(model, alignment, 1.0, noise=0.2)
    placed = place_model(model.volume(BOX), alignment)
    ours = model_fsc(volume, placed)
    other = fsc(volume, placed.volume())[: BOX // 2]
    # One counts both members of the pairs in the plane x = 0, the other one of them.
    assert (ours - other)[2:].abs().max() < 0.05
    assert (ours - other)[2:].abs().mean() < 0.01


@pytest.mark.parametrize("true_scale", [0.975, 1.0, 1.017])
def test_the_true_pixel_size_is_found(model, alignment, true_scale):
    volume = seen_map(model, alignment, true_scale, noise=0.3)
    placed = place_model(model.volume(BOX), alignment)
    found = fit_magnification(volume, placed, shells=(4, 16), independent_fraction=1.0)
    assert abs(found.best_scale - true_scale) < 3 * found.error
    assert found.error < 0.003
    at_best = model_fsc(volume, placed, found.best_scale)
    if true_scale != 1.0:
        assert at_best[8:14].mean() > model_fsc(volume, placed)[8:14].mean()


@pytest.mark.slow
def test_the_error_is_that_of_repeated_fits(model, alignment):
    placed = place_model(model.volume(BOX), alignment)
    clean = seen_map(model, alignment, 1.01)
    generator = torch.Generator().manual_seed(1)
    fits = [
        fit_magnification(
            clean + 0.5 * torch.randn(clean.shape, generator=generator),
            placed,
            shells=(4, 16),
            independent_fraction=1.0,
            steps=9,
        )
        for _ in range(12)
    ]
    scatter = torch.tensor([f.best_scale for f in fits]).std()
    claimed = sum(f.error for f in fits) / len(fits)
    # 12 draws know their standard deviation to 20 %.
    assert claimed == pytest.approx(float(scatter), rel=0.6)


def test_from_an_unknown_pose(model, alignment):
    """The way the job goes: align at low resolution at the nominal pixel size, then fit."""
    volume = seen_map(model, alignment, 1.02, noise=0.2)
    found = align_volumes(
        model.volume(BOX), volume, pixel_size_angstrom=PIXEL_SIZE, resolution_angstrom=10.0, search_hand=False
    )
    placed = place_model(model.volume(BOX), found)
    fit = fit_magnification(volume, placed, shells=(4, 16), independent_fraction=1.0)
    assert fit.best_scale == pytest.approx(1.02, abs=0.003)


def test_a_size_beyond_the_scan_is_refused(model, alignment):
    volume = seen_map(model, alignment, 1.1)
    with pytest.raises(InputError, match="end of the scan"):
        fit_magnification(
            volume, place_model(model.volume(BOX), alignment), shells=(4, 16), independent_fraction=1.0
        )
